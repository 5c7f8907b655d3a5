"""Who asks, before anything else of a request is read, and whether the key allows it.

A route says in its signature what it needs: ``MayAdapt``, ``MayPredict``, or ``AnyCaller`` for any
live key. As long as no key was ever created the service answers loopback callers, and only under a
loopback name, so that no web page can reach it through a name of its own.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_type_hints

from anyio.to_thread import run_sync
from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Route

from app.api.headers import parse_bearer, unauthenticated
from app.api.rates import check_rate, check_wrong_keys
from app.api.service import Service, service_of
from app.api.timing import timing_of
from app.callers import caller_of, hash_of
from app.errors import ServiceError
from app.observing.metrics import CALLER_HIT, CALLER_MISS
from app.values.caller import Caller, Scope

HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:@/?#]+)(?::[0-9]{0,5})?")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Needs:
    """The caller of a request, whose key has this scope; None: any live key will do.

    Raises ServiceError: unauthenticated, forbidden, rate-limited, or bad-request for a foreign
    Host.
    """

    scope: Scope | None

    async def __call__(self, request: Request) -> Caller:
        here = await service_of(request)
        caller = await _caller(request, here)
        await check_rate(request, here, caller)
        if self.scope is not None and self.scope not in caller.scopes:
            detail = f"expected a key with the scope {self.scope}, got one without it"
            raise ServiceError("forbidden", detail)
        return caller


AnyCaller = Annotated[Caller, Depends(Needs(None))]
MayAdapt = Annotated[Caller, Depends(Needs(Scope.ADAPT))]
MayPredict = Annotated[Caller, Depends(Needs(Scope.PREDICT))]
MayKeepCheckpoints = Annotated[Caller, Depends(Needs(Scope.CHECKPOINTS))]
MayAdminister = Annotated[Caller, Depends(Needs(Scope.ADMIN))]


def needs_of(endpoint: Callable[..., Any]) -> Needs | None:
    """What a route's signature says that its caller needs; None where it says nothing."""
    for hint in get_type_hints(endpoint, include_extras=True).values():
        for mark in get_args(hint)[1:]:
            found = getattr(mark, "dependency", None)
            if isinstance(found, Needs):
                return found
    return None


def direct(route: APIRoute) -> Route:
    """The route as Starlette's own, whose endpoint takes the request and its caller."""
    endpoint, needs = route.endpoint, needs_of(route.endpoint)
    assert needs is not None, f"{route.path} does not say what its caller needs"

    async def answer(request: Request) -> Response:
        request.scope["route"] = route  # as FastAPI's own do, for the log
        caller = await needs(request)
        timing_of(request.scope).mark("auth")
        answered: Response = await endpoint(request, caller)
        return answered

    served = Route(route.path, answer)
    served.methods = route.methods
    return served


async def _caller(request: Request, here: Service) -> Caller:
    secret = parse_bearer(request.headers.getlist("authorization"))
    key_hash = hash_of(secret) if secret is not None else ""
    caller = here.memory.caller(key_hash)
    (CALLER_MISS if caller is None else CALLER_HIT).inc()
    caller = caller or await _look_up(request, here, key_hash)
    if caller.key_id is None:
        _check_host(request, here.backends.settings.host)
    return caller


async def _look_up(request: Request, here: Service, key_hash: str) -> Caller:
    """The key's caller, remembered from now on.

    Raises ServiceError: unauthenticated, or rate-limited for too many wrong keys.
    """
    stamp = here.memory.stamp()
    found = await run_sync(caller_of, here.backends, key_hash)
    if found is None:
        if key_hash:
            await check_wrong_keys(request, here)
        raise unauthenticated()
    here.memory.keep_caller(key_hash, found, stamp)
    return found.value


def _check_host(request: Request, bound: str) -> None:
    match = HOST.fullmatch(request.headers.get("host", "").lower())
    if match is None or match["name"].strip("[]") not in LOOPBACK | {bound}:
        detail = "expected a loopback name in Host, as no key is configured; got another"
        raise ServiceError("bad-request", detail)
