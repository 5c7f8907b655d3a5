"""Events as they come, as Server-Sent Events (HTML Living Standard, 9.2): told by the workers, and
looked for now and then besides, so that lost news costs no event.

Nothing of the database is held while a stream waits. It ends by itself after some minutes: a
browser comes again where it was, and its key is looked at again. FastAPI writes the form of an
event; its own streaming routes cannot answer the same path with a list, or wait for news.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Final

from anyio.to_thread import run_sync
from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

from app.adaptations.events import Standing, follow_events
from app.api.answers import HEADERS
from app.api.presenting_events import show_event
from app.api.problems import problem_response
from app.api.service import Service
from app.api.streams import Streams
from app.errors import ServiceError
from app.values.event import Event

LOOKED_AT_EVERY_S: Final = 5.0  # what a lost wake-up costs at most
HEARTBEAT_S: Final = 8.0  # and one look more: proxies cut what is silent, some after 15 s
LONGEST_S: Final = 600.0
RETRY_MS: Final = 1000

OPENING: Final = format_sse_event(comment="events follow", retry=RETRY_MS)
HEARTBEAT: Final = format_sse_event(comment="alive")
NOTHING_NEW: Final = Standing(events=[], is_over=False)


class EventStream(EventSourceResponse):
    """An answer that goes on; 503 where this process serves as many as it may."""

    def __init__(self, streams: Streams, events: AsyncGenerator[bytes]) -> None:
        # X-Accel-Buffering: nginx would keep events until it has a page of them
        headers = HEADERS | {"X-Accel-Buffering": "no", "Vary": "Accept"}
        super().__init__(events, headers=headers)
        self._streams, self._events = streams, events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._streams.is_full or self._streams.is_leaving:
            detail = "there are as many event streams as there may be; read the list meanwhile"
            refusal = problem_response(ServiceError("unavailable", detail, retry_after_s=5))
            await refusal(scope, receive, send)
            return
        with self._streams.place():
            async with aclosing(self._events):
                await super().__call__(scope, receive, send)


async def stream_events(
    here: Service, tenant_id: str, adaptation_id: str, after: int
) -> AsyncGenerator[bytes]:
    """The events that follow a number, until the adaptation has ended or is no more."""
    now = asyncio.get_running_loop().time
    ends_at, sent_at = now() + LONGEST_S, now()
    yield OPENING
    async with here.news.moved(adaptation_id) as moved:
        with here.streams.woken(moved):
            while now() < ends_at and not here.streams.is_leaving:
                moved.clear()  # before the look: what comes from now on is looked for again
                found = await _look(here, tenant_id, adaptation_id, after)
                for event in found.events:
                    yield _written(adaptation_id, event)
                    after, sent_at = event.number, now()
                if found.is_over:
                    return
                if now() - sent_at >= HEARTBEAT_S:
                    yield HEARTBEAT
                    sent_at = now()
                with suppress(TimeoutError):
                    await asyncio.wait_for(moved.wait(), LOOKED_AT_EVERY_S)


async def _look(here: Service, tenant_id: str, adaptation_id: str, after: int) -> Standing:
    """What there is by now: nothing where the database does not answer, and the end where the
    adaptation was deleted.
    """
    try:
        return await run_sync(follow_events, here.backends, tenant_id, adaptation_id, after)
    except ServiceError as error:
        if error.code == "unavailable":
            return NOTHING_NEW
        deleted = Event(number=after + 1, kind="deleted", detail={}, at=time.time())
        return Standing(events=[deleted], is_over=True)


def _written(adaptation_id: str, event: Event) -> bytes:
    shown = show_event(adaptation_id, event)
    return format_sse_event(id=str(shown.id), event=shown.type, data_str=shown.model_dump_json())
