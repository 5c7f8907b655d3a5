"""Who asks: the tenant behind a request's key, before anything else of it is read.

As long as no key was ever created the service answers loopback callers as the default tenant, and
only under a loopback name, so that no web page can reach it through a name of its own.
"""

import re
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import Depends, Request
from sqlalchemy import Engine

from app.api.headers import parse_bearer, unauthenticated
from app.api.service import Here
from app.db.engine import reading
from app.db.keys import PREFIX, has_keys, tenant_of
from app.db.tenants import DEFAULT
from app.errors import ServiceError

HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:@/?#]+)(?::[0-9]{0,5})?")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


async def _tenant(request: Request, here: Here) -> str:
    """The tenant's id. Raises ServiceError: unauthenticated, or bad-request for a foreign Host."""
    secret = parse_bearer(request.headers.getlist("authorization"))
    tenant_id = await run_sync(_look_up, here.backends.engine, secret)
    if tenant_id is not None:
        return tenant_id
    _check_host(request, here.backends.settings.host)
    return DEFAULT


def _look_up(engine: Engine, secret: str | None) -> str | None:
    """The key's tenant; None where no keys are in use."""
    with reading(engine) as connection:
        known = secret is not None and secret.startswith(PREFIX)
        tenant_id = tenant_of(connection, secret) if known and secret else None
        if tenant_id is None and has_keys(connection):
            raise unauthenticated()
        return tenant_id


def _check_host(request: Request, bound: str) -> None:
    match = HOST.fullmatch(request.headers.get("host", "").lower())
    if match is None or match["name"].strip("[]") not in LOOPBACK | {bound}:
        detail = "expected a loopback name in Host, as no key is configured; got another"
        raise ServiceError("bad-request", detail)


Tenant = Annotated[str, Depends(_tenant)]
