"""Server-Timing (W3C) on every answer: where a request's time went inside this process."""

from collections.abc import Mapping, MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.values.timing import Timing

ROW_PARTS = {"queued_ms": "queue", "load_ms": "load", "adapt_ms": "adapt", "store_ms": "store"}
PLACE = "fewstep.timing"


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
