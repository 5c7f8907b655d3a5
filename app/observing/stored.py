"""What lies in the store, looked through now and then by one process for all."""

import json
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final

from redis import Redis, RedisError

from app.store.measuring import Stored

LOOK_EVERY_S: Final = 300
KEPT: Final = "fewstep:stored"
TURN: Final = "fewstep:stored:turn"


def takes_turn(redis: "Redis") -> bool:
    """Whether it is this process that looks now; no other one does for LOOK_EVERY_S."""
    with suppress(RedisError):
        return bool(redis.set(TURN, 1, nx=True, ex=LOOK_EVERY_S))
    return False


def tell_stored(redis: "Redis", stored: Stored) -> None:
    """Tells every process; who hears of it when Redis is away is nobody."""
    with suppress(RedisError):
        redis.set(KEPT, json.dumps(asdict(stored)))


def last_stored(redis: "Redis") -> Stored | None:
    """What was told last; None where nothing was, or Redis is away."""
    with suppress(RedisError):
        kept: Any = redis.get(KEPT)
        return Stored(**json.loads(kept)) if kept is not None else None
    return None
