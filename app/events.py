"""Wake-ups: who waits for an adaptation hears of its end at once, by Redis pub/sub.

A wake-up may be lost; who waits looks at the row from time to time as well.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from redis import Redis, RedisError
from redis.asyncio import Redis as AsyncRedis

CHANNEL = "fewstep:ended"
RECONNECT_S = 0.5

log = logging.getLogger(__name__)


def wake(redis: "Redis", adaptation_ids: Iterable[str]) -> None:
    """Tells every waiting process that these adaptations have ended; silent where Redis is away."""
    with suppress(RedisError):
        pipeline = redis.pipeline(transaction=False)
        for adaptation_id in adaptation_ids:
            pipeline.publish(CHANNEL, adaptation_id)
        pipeline.execute()


class WakeUps:
    """One subscriber for a whole process, and who waits in it for which adaptation."""

    def __init__(self, redis_url: str) -> None:
        self._redis = AsyncRedis.from_url(redis_url, socket_connect_timeout=1)
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._listener: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listens for as long as the application lives."""
        self._listener = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener
            await self._redis.aclose()

    @asynccontextmanager
    async def ended(self, adaptation_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set when the adaptation ends; entered before its row is committed."""
        event = asyncio.Event()
        self._waiting[adaptation_id].add(event)
        try:
            yield event
        finally:
            self._waiting[adaptation_id].discard(event)
            if not self._waiting[adaptation_id]:
                del self._waiting[adaptation_id]

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (RedisError, OSError) as error:
                log.warning("wake-ups interrupted: %s", type(error).__name__)
                await asyncio.sleep(RECONNECT_S)

    async def _hear(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(CHANNEL)
            async for message in pubsub.listen():
                for event in self._waiting.get(message["data"].decode(), ()):
                    event.set()
