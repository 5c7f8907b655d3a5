"""The rest of a body that is refused: taken and dropped before the answer, within bounds.

Most clients read no answer before they have sent all. Where the connection ends while they send,
they report just that, and the answer is lost.
"""

import asyncio
from contextlib import suppress
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLOSE: Final = (b"connection", b"close")
MOST_DIGITS: Final = 18
SILENCE_S: Final = 2.0  # after which a client waits for an answer rather than sends


class Unread:
    """What is left of one request's body, as it is received."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = dict(scope["headers"])
        self.declared = headers.get(b"content-length", b"0")
        self.is_left = self.declared != b"0" or b"transfer-encoding" in headers
        self.waits_for_leave = headers.get(b"expect", b"").lower() == b"100-continue"
        self.began_s = asyncio.get_running_loop().time()
        self._receive = receive

    async def receive(self) -> Message:
        """The next message; who waits for leave to send (RFC 9110, 10.1.1) is given it so."""
        self.waits_for_leave = False
        message = await self._receive()
        self.is_left = self.is_left and bool(message.get("more_body", False))
        return message

    async def drop(self, *, limit_bytes: int, limit_s: float) -> None:
        """Receives what is left, up to so many bytes, so many seconds after the request began, and
        as long as something comes; nothing where it will not end within the bytes.
        """
        if self.waits_for_leave or len(self.declared) > MOST_DIGITS:
            return
        if self.declared.isdigit() and int(self.declared) > limit_bytes:
            return
        dropped, end_s = 0, self.began_s + limit_s
        with suppress(TimeoutError):
            async with asyncio.timeout_at(end_s):
                while self.is_left and dropped <= limit_bytes:
                    async with asyncio.timeout(SILENCE_S):
                        dropped += len((await self.receive()).get("body", b""))


def drained(app: ASGIApp, *, limit_bytes: int, limit_s: float) -> ASGIApp:
    """The application, whose refusals come after what they leave unread, and end the connection."""

    async def drain(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        unread = Unread(scope, receive)
        if not unread.is_left:
            await app(scope, receive, send)
            return

        async def tell(message: Message) -> None:
            is_refusal = message["type"] == "http.response.start" and message["status"] >= 400
            if is_refusal and unread.is_left:
                await unread.drop(limit_bytes=limit_bytes, limit_s=limit_s)
                message["headers"] = [*message["headers"], CLOSE]
            await send(message)

        await app(scope, unread.receive, tell)

    return drain
