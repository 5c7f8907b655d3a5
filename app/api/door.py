"""What holds at the door, whatever route follows: no page of somebody else's changes anything here,
every answer says how a browser is to treat it, and HEAD is answered wherever GET is.
"""

import base64
import hashlib
import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_response
from app.errors import ServiceError, refusal

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_PAGES: Final = frozenset({"/docs", "/docs/oauth2-redirect", "/openapi.json"})
HTML: Final = b"text/html"
INLINE: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
NOTHING: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
PAGE: Final = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
LINES: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cache-control", b"no-store"),
)

Headers = dict[bytes, bytes]
Line = tuple[bytes, bytes]


def guarded(app: ASGIApp, *, origins: Collection[str] = ()) -> ASGIApp:
    """The application behind its door; origins: foreign ones whose pages may change things."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        door = _Door(scope, receive, send)
        try:
            check_origin(scope["method"], dict(scope["headers"]), origins)
            _check_query(scope)
        except ServiceError as error:
            await problem_response(error)(scope, receive, door.send)
            return
        if door.is_head:
            scope = {**scope, "method": "GET"}
        await app(scope, door.receive, door.send)

    return answer


def check_origin(method: str, headers: Headers, origins: Collection[str]) -> None:
    """Raises ServiceError forbidden for a change that another site's page asks for.

    Browsers say so by ``Sec-Fetch-Site`` and ``Origin``; who sends neither is no browser. A proxy
    in front may speak another scheme than it was spoken to in, so only the host is compared.
    """
    if method in SAFE:
        return
    origin = headers.get(b"origin", b"").decode("latin-1")
    if origin in origins:
        return
    site = headers.get(b"sec-fetch-site", b"").decode("latin-1").strip().lower()
    is_foreign = bool(origin) and _host_of(origin) != headers.get(b"host", b"").decode("latin-1")
    if site in ("cross-site", "same-site") or is_foreign:
        detail = "expected a page of this service, or no browser; got another site's page"
        raise ServiceError("forbidden", detail)


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _check_query(scope: Scope) -> None:
    """The framework's own pages take no parameters. Raises ServiceError validation."""
    if scope["path"] in OWN_PAGES and scope["query_string"]:
        raise refusal("validation", "", "expected no query parameters, got one")


class _Door:
    """One request's way out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.is_head = scope["method"] == "HEAD"
        self._receive, self._send = receive, send
        self._page: Message | None = None
        self._is_told = False

    async def receive(self) -> Message:
        """The next message; to an answer of HEAD that has begun nobody listens any more."""
        if self.is_head and self._is_told:
            return {"type": "http.disconnect"}
        return await self._receive()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            names = dict(message["headers"])
            if names.get(b"content-type", b"").startswith(HTML):
                self._page = message  # what it may do follows from what it holds
                return
            await self._begin(message, NOTHING)
        elif self._page is not None:
            page, self._page = self._page, None
            await self._begin(page, _policy_of(message.get("body", b"")))
            await self._follow(message)
        else:
            await self._follow(message)

    async def _begin(self, message: Message, policy: str) -> None:
        had = {name for name, _ in message["headers"]}
        lines = [*LINES, (b"content-security-policy", policy.encode())]
        added = [line for line in lines if line[0] not in had]
        self._is_told = True
        await self._send({**message, "headers": [*message["headers"], *added]})
        if self.is_head:
            await self._send({"type": "http.response.body", "body": b""})

    async def _follow(self, message: Message) -> None:
        if not self.is_head:
            await self._send(message)


def _policy_of(page: bytes) -> str:
    """What the page needs: its own scripts by their hashes, and nothing from anywhere else."""
    digests = (hashlib.sha256(script).digest() for script in INLINE.findall(page))
    hashes = "".join(f" 'sha256-{base64.b64encode(one).decode()}'" for one in digests)
    return PAGE.format(scripts=hashes)


def header_lines() -> list[Line]:
    """The headers of an answer that no application gives."""
    return [*LINES, (b"content-security-policy", NOTHING.encode())]
