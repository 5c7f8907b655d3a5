"""X-Request-Id: every request has an id, in its answer and in every line logged while it lasts."""

import re
import secrets
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

HEADER: Final = b"x-request-id"
WELL_FORMED: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def identified(app: ASGIApp) -> ASGIApp:
    """The application around everything else, so that refusals and mistakes have an id as well."""

    async def identify(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        request_id = _given_or_new(scope)
        # Cleared first: a connection's next request may start in the context of the one before.
        # Not unbound afterwards: the server logs what the application raised when we are gone.
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        header = (HEADER, request_id.encode("ascii"))

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], header]
            await send(message)

        await app(scope, receive, tell)

    return identify


def _given_or_new(scope: Scope) -> str:
    """The caller's own id where it is well formed and the only one, else 128 random bits."""
    given = [value for name, value in scope["headers"] if name == HEADER]
    if len(given) == 1 and WELL_FORMED.fullmatch(given[0]):
        return str(given[0], "ascii")
    return f"req_{secrets.token_hex(16)}"
