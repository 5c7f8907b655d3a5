"""Which adaptations are to stop: marks in Redis that a worker looks at between two steps.

A mark is a hint. The row is the truth, and where Redis is away the heartbeat reads that.
"""

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from redis import Redis, RedisError

MARK: Final = "fewstep:stopped:"
MARKED_S: Final = 3600  # longer than any batch runs

log = logging.getLogger(__name__)


def mark_stopped(redis: "Redis", adaptation_ids: Iterable[str]) -> None:
    """Has whoever works on these stop, where Redis answers."""
    with suppress(RedisError):
        pipeline = redis.pipeline(transaction=False)
        for one in adaptation_ids:
            pipeline.set(f"{MARK}{one}", 1, ex=MARKED_S)
        pipeline.execute()


def are_all_stopped(redis: "Redis", adaptation_ids: Sequence[str]) -> bool:
    """Whether none of these is wanted any more. Raises RedisError."""
    return int(redis.exists(*(f"{MARK}{one}" for one in adaptation_ids))) == len(adaptation_ids)
