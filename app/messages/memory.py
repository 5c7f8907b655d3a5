"""What one process remembers of keys and adaptations, so that a prediction asks no database.

The row stays the truth: a memory holds only while news of changes would be heard
(app/messages/news.py), for some seconds at most, and never past the time at which its row ends by
the database's clock. It must not know where the rows come from. One thread uses it: that of the
event loop.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from cachetools import FIFOCache

from app.values.caller import Caller
from app.values.lasting import Lasting

CALLER_S: Final = 1.0  # how long a key that was revoked unheard goes on working
ADAPTATION_S: Final = 30.0  # and an adaptation whose parameters were lost unheard
CALLERS: Final = 10_000
CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # Linux has the first
ADAPTATIONS: Final = 100_000  # some 700 bytes each
CHANGED: Final = 10_000  # more than change while one row is read

Value = TypeVar("Value")
Stamp = tuple[int, float]
# Values with their ends by the clock, looked at when they are asked for: TLRUCache removes all that
# ended at the next change, which would hold up the event loop for 0.4 s after a pause.
Remembered: TypeAlias = FIFOCache[str, tuple[Value, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phi:
    """Whose succeeded adaptation it is, and the blob of its parameters."""

    tenant_id: str
    digest: str


def steady_s() -> float:
    """Seconds by a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(CLOCK)


class Memory:
    """Callers by the hash of their key, and the φ of adaptations by id.

    The hash "" stands for callers without a key.
    """

    def __init__(self, clock: Callable[[], float] = steady_s) -> None:
        self._clock = clock
        self._hears = False
        self._news = 0  # counted; what is kept of them is the number of the last that matters
        self._news_of_keys = 0
        self._news_of_all = 0
        self._news_of_phi: dict[str, int] = {}
        self._callers: Remembered[Caller] = FIFOCache(CALLERS)
        self._phi: Remembered[Phi] = FIFOCache(ADAPTATIONS)

    def stamp(self) -> Stamp:
        """Taken before a row is read, and given back with what it said."""
        return self._news, self._clock()

    def caller(self, key_hash: str) -> Caller | None:
        """Whom a key stands for; None where that has to be looked up."""
        found = self._callers.get(key_hash)
        return found[0] if found and self._clock() < found[1] else None

    def keep_caller(self, key_hash: str, found: Lasting[Caller], stamp: Stamp) -> None:
        """Remembers whose a key is, unless there was news since the stamp."""
        if self._hears and stamp[0] >= self._news_of_keys:
            self._callers[key_hash] = _until(found, stamp[1], CALLER_S)

    def phi(self, tenant_id: str, adaptation_id: str) -> str | None:
        """The digest of a tenant's adaptation; None where that has to be looked up."""
        found = self._phi.get(adaptation_id)
        if found is None or self._clock() >= found[1] or found[0].tenant_id != tenant_id:
            return None
        return found[0].digest

    def keep_phi(self, adaptation_id: str, found: Lasting[Phi], stamp: Stamp) -> None:
        """Remembers where an adaptation's φ lies, unless there was news since the stamp."""
        newest = max(self._news_of_all, self._news_of_phi.get(adaptation_id, 0))
        if self._hears and stamp[0] >= newest:
            self._phi[adaptation_id] = _until(found, stamp[1], ADAPTATION_S)

    def forget_keys(self) -> None:
        """A key was created or revoked."""
        self._news_of_keys = self._next_news()
        self._callers.clear()

    def forget_phi(self, adaptation_id: str) -> None:
        """An adaptation changed."""
        self._news_of_phi.pop(adaptation_id, None)
        self._news_of_phi[adaptation_id] = self._next_news()
        if len(self._news_of_phi) > CHANGED:
            self._news_of_all = self._news_of_phi.pop(next(iter(self._news_of_phi)))
        self._phi.pop(adaptation_id, None)

    def hear(self, *, hears: bool) -> None:
        """Whether all news is heard from now on; what was remembered before may be old."""
        self._news_of_all = self._news_of_keys = self._next_news()
        self._hears = hears
        self._callers.clear()
        self._phi.clear()

    def _next_news(self) -> int:
        self._news += 1
        return self._news


def _until(found: Lasting[Value], asked_at: float, longest_s: float) -> tuple[Value, float]:
    """The value for so many seconds at most, with its end by the clock."""
    return found.value, asked_at + min(found.left_s, longest_s)
