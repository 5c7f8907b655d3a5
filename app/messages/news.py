"""News: what one process changed and others must know of at once, by Redis pub/sub.

Who waits for an adaptation hears of its end, who follows it of every change, and every process
forgets what it remembered of a changed row. News may be lost: who waits looks at the row from time
to time as well, and nothing is remembered while the subscription does not stand.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from redis import Redis, RedisError
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.messages.memory import Memory

CHANNEL = "fewstep:changed"
KEYS = "keys"  # in place of an adaptation's id
MOVED = "moved "  # before the ids of adaptations that changed and have not ended
RECONNECT_S = 0.5
ENDED_WITHIN_S = 0.5
SILENT_S = 1.0  # then it is asked whether it still stands

Waiting = dict[str, set[asyncio.Event]]

log = logging.getLogger(__name__)


def tell_changed(redis: "Redis", adaptation_ids: Iterable[str]) -> bool:
    """Tells every process that these adaptations ended, or are no more what they were.

    False where Redis is away.
    """
    return _tell(redis, adaptation_ids)


def tell_moved(redis: "Redis", adaptation_ids: Iterable[str]) -> bool:
    """Tells who follows these adaptations that they changed; nobody who waits for their end is
    woken, and nothing is forgotten. False where Redis is away.
    """
    return _tell(redis, [MOVED + " ".join(adaptation_ids)])


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
        self._waiting: Waiting = defaultdict(set)
        self._following: Waiting = defaultdict(set)
        self._listener: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listens for as long as the application lives."""
        self._listener = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            while not self._listener.done():  # one that meets a time-out of its own may be lost
                self._listener.cancel()
                await asyncio.wait([self._listener], timeout=ENDED_WITHIN_S)
            await self._redis.aclose()

    @asynccontextmanager
    async def ended(self, *adaptation_ids: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set when one of these ends; entered before their rows are committed."""
        with _heard(self._waiting, adaptation_ids) as event:
            yield event

    @asynccontextmanager
    async def moved(self, adaptation_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever this adaptation changed."""
        with _heard(self._following, [adaptation_id]) as event:
            yield event

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
        if word.startswith(MOVED):
            for one in word.removeprefix(MOVED).split():
                _wake(self._following, one)
            return
        self._memory.forget_phi(word)
        _wake(self._waiting, word)
        _wake(self._following, word)


@contextmanager
def _heard(waiting: Waiting, adaptation_ids: Iterable[str]) -> Iterator[asyncio.Event]:
    event, ids = asyncio.Event(), list(adaptation_ids)
    for one in ids:
        waiting[one].add(event)
    try:
        yield event
    finally:
        for one in ids:
            waiting[one].discard(event)
            if not waiting[one]:
                del waiting[one]


def _wake(waiting: Waiting, adaptation_id: str) -> None:
    for event in waiting.get(adaptation_id, ()):
        event.set()


async def _answer_to_ping(pubsub: PubSub) -> dict[str, Any]:
    """The next message of a connection that was silent. Raises TimeoutError where none comes."""
    await pubsub.ping()
    message: dict[str, Any] | None = await pubsub.get_message(timeout=SILENT_S)
    if message is None:
        raise TimeoutError
    return message
