"""The progress of long work, in the hands of two threads: one works and says that it moved, the
other watches and may tell it to stop.

It knows no database, no console and no mathematics; long work calls ``moved`` between two steps.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Activity = Literal["fetching", "reading", "training", "choosing", "testing"]

LOOKED_EVERY_S = 0.02
STALLED_S = 120  # room for loading a checkpoint, a compilation, one long step


class Stopped(Exception):
    """The work was told to stop, and why; raised by ``moved`` in the thread that works."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far a piece of work has come, for whoever shows it.

    subject: what is fetched, read, trained or tested; it stays the same over one piece of work.
    total None: nobody knows yet. detail: what the last step gave.
    """

    activity: Activity
    subject: str
    done: int
    total: int | None
    detail: str = ""


class Progress:
    """When the work was last seen to move, and whether it was told to stop.

    show: what is done with every ``Reached``, in the thread that works. look: asked in that thread
    as well, LOOKED_EVERY_S at the most often, for the reason to stop if there is one.
    """

    def __init__(
        self,
        *,
        show: Callable[[Reached], None] = lambda reached: None,
        look: Callable[[], str | None] = lambda: None,
        stalled_s: float = STALLED_S,
    ) -> None:
        self._show = show
        self._look = look
        self._stalled_s = stalled_s
        self._moved_at = self._looked_at = time.monotonic()
        self._stop_reason: str | None = None

    def moved(self, reached: Reached | None = None) -> None:
        """Marks that the work moved, and how far. Raises Stopped once it was told to stop."""
        self._moved_at = time.monotonic()
        if reached is not None:
            self._show(reached)
        if self._moved_at - self._looked_at >= LOOKED_EVERY_S:
            self._looked_at = self._moved_at
            found = self._look()
            if found is not None:  # what the other thread said meanwhile is never written over
                self.stop(found)
        if self._stop_reason is not None:
            raise Stopped(self._stop_reason)

    def stop(self, reason: str) -> None:
        """Has the work end at its next ``moved``; the first reason stays."""
        self._stop_reason = self._stop_reason or reason

    @property
    def is_stalled(self) -> bool:
        return time.monotonic() - self._moved_at > self._stalled_s
