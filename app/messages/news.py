"""News: what one process changed and others must know of at once, by Redis pub/sub.

Who waits for an adaptation hears of its end, and every process forgets what it remembered of a
changed row. News may be lost: who waits looks at the row from time to time as well, and nothing is
remembered while the subscription does not stand.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis import Redis, RedisError
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.messages.memory import Memory

CHANNEL = "fewstep:changed"
KEYS = "keys"  # in place of an adaptation's id
RECONNECT_S = 0.5
SILENT_S = 1.0  # then it is asked whether it still stands

log = logging.getLogger(__name__)


def tell_changed(redis: "Redis", adaptation_ids: Iterable[str]) -> bool:
    """Tells every process that these adaptations ended, or are no more what they were.

    False where Redis is away.
    """
    return _tell(redis, adaptation_ids)


def tell_keys_changed(redis: "Redis") -> bool:
    """Tells every process that a key was created or revoked. False where Redis is away."""
    return _tell(redis, [KEYS])


def _tell(redis: "Redis", words: Iterable[str]) -> bool:
    with suppress(RedisError):
        pipeline = redis.pipeline(transaction=False)
        for word in words:
            pipeline.publish(CHANNEL, word)
        pipeline.execute()
        return True
    return False


class News:
    """One subscriber for a whole process: who waits in it for which adaptation, and what it
    remembers.
    """

    def __init__(self, redis_url: str, memory: Memory) -> None:
        # A connection that is made again in silence would hide what was missed meanwhile.
        self._redis = AsyncRedis.from_url(
            redis_url, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)
        )
        self._memory = memory
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
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("news interrupted", extra={"error": type(error).__name__})
            except Exception:  # whatever came: who waits would hear nothing for ever
                log.exception("news interrupted")
            finally:
                self._memory.hear(hears=False)
            await asyncio.sleep(RECONNECT_S)

    async def _hear(self) -> None:
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(CHANNEL)
            while True:
                message = await pubsub.get_message(timeout=SILENT_S)
                if message is None:
                    message = await _answer_to_ping(pubsub)
                self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self._memory.hear(hears=True)
        if message["type"] != "message":
            return
        word = message["data"].decode(errors="replace")
        if word == KEYS:
            self._memory.forget_keys()
            return
        self._memory.forget_phi(word)
        for event in self._waiting.get(word, ()):
            event.set()


async def _answer_to_ping(pubsub: PubSub) -> dict[str, Any]:
    """The next message of a connection that was silent. Raises TimeoutError where none comes."""
    await pubsub.ping()
    message: dict[str, Any] | None = await pubsub.get_message(timeout=SILENT_S)
    if message is None:
        raise TimeoutError
    return message
