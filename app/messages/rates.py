"""How many requests a tenant may make in a minute, and an address with wrong keys, counted in Redis
for all processes together.

A sliding window of two counters (limits, SlidingWindowCounterRateLimiter). Where Redis is away
nobody is refused.
"""

import logging
import math
import time
from dataclasses import dataclass
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis import RedisError

AWAY_S = 5.0  # nobody waits for it again so soon

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What is left of a limit; reset_s: whole seconds until more is."""

    is_kept: bool
    limit: int
    remaining: int
    reset_s: int


class Rates:
    """The counters of one process's event loop."""

    def __init__(self, redis_url: str) -> None:
        url = redis_url.replace("unix://", "redis+unix://", 1)
        options: dict[str, Any] = {"socket_timeout": 1, "socket_connect_timeout": 1}
        storage = RedisStorage(f"async+{url}", implementation="redispy", **options)
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._away_until = 0.0

    async def count(self, tenant_id: str, per_minute: int) -> Rate | None:
        """Counts a request of the tenant; None where nobody counts now."""
        return await self._count(per_minute, tenant_id)

    async def count_wrong_key(self, address: str, per_minute: int) -> Rate | None:
        """Counts a request with a wrong key from the address; None where nobody counts now."""
        return await self._count(per_minute, "wrong-key", address)

    async def _count(self, per_minute: int, *of: str) -> Rate | None:
        if time.monotonic() < self._away_until:
            return None
        item = RateLimitItemPerMinute(per_minute)
        try:
            is_kept = await self._limiter.hit(item, "fewstep", *of)
            reset_at, remaining = await self._limiter.get_window_stats(item, "fewstep", *of)
        except (RedisError, OSError) as error:
            self._away_until = time.monotonic() + AWAY_S
            log.warning("requests not counted", extra={"error": type(error).__name__})
            return None
        reset_s = max(1, math.ceil(reset_at - time.time()))
        return Rate(is_kept=is_kept, limit=per_minute, remaining=remaining, reset_s=reset_s)
