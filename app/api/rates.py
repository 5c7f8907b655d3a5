"""A tenant's rate: refused beyond it before a body is read, and told on every answer. And an
address's, of wrong keys.
"""

from typing import Final

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.service import Service
from app.errors import ServiceError
from app.messages.rates import Rate
from app.values.caller import Caller
from app.values.quota import Quota

PLACE: Final = "fewstep.rate"
WRONG_KEYS_PER_MINUTE: Final = 600


def quota_of(here: Service, caller: Caller) -> Quota:
    """What the caller's tenant may ask for: as the settings say for all, or as its own."""
    settings = here.backends.settings
    usual = Quota(
        requests_per_minute=settings.requests_per_minute,
        adaptations_at_once=settings.adaptations_at_once,
    )
    return usual.with_own(caller.limits)


async def check_rate(request: Request, here: Service, caller: Caller) -> None:
    """Counts the request where its tenant has a limit. Raises ServiceError rate-limited."""
    per_minute = quota_of(here, caller).requests_per_minute
    if per_minute is None:
        return
    rate = await here.rates.count(caller.tenant_id, per_minute)
    if rate is None:
        return
    request.scope[PLACE] = rate
    if not rate.is_kept:
        detail = f"expected at most {per_minute} requests in a minute, got more"
        raise ServiceError("rate-limited", detail, retry_after_s=rate.reset_s)


async def check_wrong_keys(request: Request, here: Service) -> None:
    """Counts a wrong key against the address it came from. Raises ServiceError rate-limited.

    A right key is never asked: behind a proxy all callers come from one address.
    """
    if request.client is None:
        return
    rate = await here.rates.count_wrong_key(request.client.host, WRONG_KEYS_PER_MINUTE)
    if rate is not None and not rate.is_kept:
        detail = (
            f"expected a valid key, or at most {WRONG_KEYS_PER_MINUTE} others in a minute from one"
            " address; got more"
        )
        raise ServiceError("rate-limited", detail, retry_after_s=rate.reset_s)


def rated(app: ASGIApp) -> ASGIApp:
    """The application, with RateLimit headers on the answers to tenants that have a limit."""

    async def tell(scope: Scope, receive: Receive, send: Send) -> None:
        async def add(message: Message) -> None:
            rate: Rate | None = scope.get(PLACE)
            if rate is not None and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_headers(rate)]
            await send(message)

        await app(scope, receive, add if scope["type"] == "http" else send)

    return tell


def _headers(rate: Rate) -> list[tuple[bytes, bytes]]:
    told = {"limit": rate.limit, "remaining": rate.remaining, "reset": rate.reset_s}
    return [(f"ratelimit-{name}".encode(), str(value).encode()) for name, value in told.items()]
