"""What one process remembers of keys and adaptations, so that a prediction asks no database.

The row stays the truth: a memory holds only while news of changes would be heard
(app/messages/news.py), for some seconds at most, and never past the time at which its row ends by
the database's clock. It must not know where the rows come from. One thread uses it: that of the
event loop.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from app.values.caller import Caller
from app.values.lasting import Lasting

CALLER_S: Final = 1.0  # how long a key that was revoked unheard goes on working
ADAPTATION_S: Final = 30.0  # and an adaptation whose parameters were lost unheard
CALLERS: Final = 10_000
CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # Linux has the first
ADAPTATIONS: Final = 100_000  # some 600 bytes each
CHANGED: Final = 10_000  # more than change while one row is read

Value = TypeVar("Value")
Stamp = tuple[int, float]


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
        self._callers: _Remembered[Caller] = _Remembered(CALLERS, CALLER_S, clock)
        self._phi: _Remembered[Phi] = _Remembered(ADAPTATIONS, ADAPTATION_S, clock)

    def stamp(self) -> Stamp:
        """Taken before a row is read, and given back with what it said."""
        return self._news, self._clock()

    def caller(self, key_hash: str) -> Caller | None:
        """Whom a key stands for; None where that has to be looked up."""
        return self._callers.get(key_hash)

    def keep_caller(self, key_hash: str, found: Lasting[Caller], stamp: Stamp) -> None:
        """Remembers whose a key is, unless there was news since the stamp."""
        if self._hears and stamp[0] >= self._news_of_keys:
            self._callers.keep(key_hash, found, stamp[1])

    def phi(self, tenant_id: str, adaptation_id: str) -> str | None:
        """The digest of a tenant's adaptation; None where that has to be looked up."""
        found = self._phi.get(adaptation_id)
        return found.digest if found and found.tenant_id == tenant_id else None

    def keep_phi(self, adaptation_id: str, found: Lasting[Phi], stamp: Stamp) -> None:
        """Remembers where an adaptation's φ lies, unless there was news since the stamp."""
        newest = max(self._news_of_all, self._news_of_phi.get(adaptation_id, 0))
        if self._hears and stamp[0] >= newest:
            self._phi.keep(adaptation_id, found, stamp[1])

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
        self._phi.drop(adaptation_id)

    def hear(self, *, hears: bool) -> None:
        """Whether all news is heard from now on; what was remembered before may be old."""
        self._news_of_all = self._news_of_keys = self._next_news()
        self._hears = hears
        self._callers.clear()
        self._phi.clear()

    def _next_news(self) -> int:
        self._news += 1
        return self._news


class _Remembered(Generic[Value]):
    """Values for so many seconds at most, none past its own end; the oldest make room."""

    def __init__(self, size: int, longest_s: float, clock: Callable[[], float]) -> None:
        self._size = size
        self._longest_s = longest_s
        self._clock = clock
        self._kept: dict[str, tuple[Value, float]] = {}

    def get(self, key: str) -> Value | None:
        found = self._kept.get(key)
        return None if found is None or self._clock() >= found[1] else found[0]

    def keep(self, key: str, found: Lasting[Value], asked_at: float) -> None:
        self._kept.pop(key, None)
        while len(self._kept) >= self._size:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (found.value, asked_at + min(found.left_s, self._longest_s))

    def drop(self, key: str) -> None:
        self._kept.pop(key, None)

    def clear(self) -> None:
        self._kept.clear()
