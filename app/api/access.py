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
from app.api.service import Here, Service
from app.db.connections import reading
from app.db.keys import has_keys, hash_of, tenant_of
from app.db.tenants import DEFAULT
from app.errors import ServiceError
from app.messages.memory import Lasting

HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:@/?#]+)(?::[0-9]{0,5})?")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


async def tenant_of_caller(request: Request, here: Here) -> str:
    """The tenant's id. Raises ServiceError: unauthenticated, or bad-request for a foreign Host."""
    secret = parse_bearer(request.headers.getlist("authorization"))
    key_hash = hash_of(secret) if secret is not None else ""
    remembered = here.memory.caller(key_hash)
    (tenant_id,) = remembered or (await _look_up(here, key_hash),)
    if tenant_id is not None:
        return tenant_id
    _check_host(request, here.backends.settings.host)
    return DEFAULT


async def _look_up(here: Service, key_hash: str) -> str | None:
    """The key's tenant; None where no keys are in use. Raises ServiceError unauthenticated."""
    stamp = here.memory.stamp()
    found = await run_sync(_read, here.backends.engine, key_hash)
    here.memory.keep_caller(key_hash, found, stamp)
    return found.value


def _read(engine: Engine, key_hash: str) -> Lasting[str | None]:
    with reading(engine) as connection:
        found = tenant_of(connection, key_hash) if key_hash else None
        if found is None and has_keys(connection):
            raise unauthenticated()
        return found or Lasting(value=None)


def _check_host(request: Request, bound: str) -> None:
    match = HOST.fullmatch(request.headers.get("host", "").lower())
    if match is None or match["name"].strip("[]") not in LOOPBACK | {bound}:
        detail = "expected a loopback name in Host, as no key is configured; got another"
        raise ServiceError("bad-request", detail)


Tenant = Annotated[str, Depends(tenant_of_caller)]
