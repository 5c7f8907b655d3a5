"""Server-Timing (W3C) on every answer: where a request's time went inside this process."""

import time
from collections.abc import Mapping, MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

ROW_PARTS = {"queued_ms": "queue", "load_ms": "load", "adapt_ms": "adapt", "store_ms": "store"}
PLACE = "fewstep.timing"


class Timing:
    """What one request measured so far, each part in milliseconds."""

    __slots__ = ("_marked", "_parts", "_started")

    def __init__(self) -> None:
        self._started = self._marked = time.perf_counter()
        self._parts: list[str] = []

    def mark(self, name: str) -> None:
        """Counts the time since the last mark, or since the beginning, to this part."""
        now = time.perf_counter()
        self.add(name, (now - self._marked) * 1000)
        self._marked = now

    def skip(self) -> None:
        """Lets the next part begin now."""
        self._marked = time.perf_counter()

    def add(self, name: str, milliseconds: float) -> None:
        """A part that was measured elsewhere."""
        self._parts.append(f"{name};dur={milliseconds:.3f}")

    def tell(self, name: str, word: object) -> None:
        """A part that is no time."""
        self._parts.append(f'{name};desc="{word}"')

    def header(self) -> bytes:
        """The header's value, ended by the total until now."""
        total_ms = (time.perf_counter() - self._started) * 1000
        return ", ".join([*self._parts, f"total;dur={total_ms:.3f}"]).encode("ascii")


def timing_of(scope: MutableMapping[str, Any]) -> Timing:
    """The request's own."""
    timing: Timing = scope[PLACE]
    return timing


def tell_rows_timing(timing: Timing, row: Mapping[str, Any] | None) -> None:
    """Adds what a worker wrote of an adaptation: queue, load, adapt and store, and its batch."""
    for part, name in ROW_PARTS.items():
        if row and row.get(part) is not None:
            timing.add(name, row[part])
    if row and row.get("batch_size") is not None:
        timing.tell("batch", row["batch_size"])


def timed(app: ASGIApp) -> ASGIApp:
    """The application around everything else, so that refusals and mistakes are timed as well."""

    async def measure(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        timing = scope[PLACE] = Timing()

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"server-timing", timing.header())]
            await send(message)

        await app(scope, receive, tell)

    return measure
