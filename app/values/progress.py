"""The progress of long work, in the hands of two threads: one works and says that it moved, the
other watches and may tell it to stop.

It knows no database, no console and no mathematics; long work calls ``moved`` between two steps.
"""

import time

STALLED_S = 120  # room for loading a checkpoint, a compilation, one long step


class Stopped(Exception):
    """The work was told to stop, and why; raised by ``moved`` in the thread that works."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Progress:
    """When the work was last seen to move, and whether it was told to stop."""

    def __init__(self, *, stalled_s: float = STALLED_S) -> None:
        self._stalled_s = stalled_s
        self._moved_at = time.monotonic()
        self._stop_reason: str | None = None

    def moved(self) -> None:
        """Marks that the work moved. Raises Stopped once it was told to stop."""
        self._moved_at = time.monotonic()
        if self._stop_reason is not None:
            raise Stopped(self._stop_reason)

    def stop(self, reason: str) -> None:
        """Has the work end at its next ``moved``; the first reason stays."""
        self._stop_reason = self._stop_reason or reason

    @property
    def is_stalled(self) -> bool:
        return time.monotonic() - self._moved_at > self._stalled_s
