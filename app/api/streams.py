"""How many event streams this process serves at a time, and that they end when it does."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Streams:
    """Of one event loop. most: how many there may be."""

    def __init__(self, most: int) -> None:
        self._most, self._open = most, 0
        self._waiting: set[asyncio.Event] = set()
        self.is_leaving = False

    @property
    def is_full(self) -> bool:
        """Whether there is no place for one more."""
        return self._open >= self._most

    @contextmanager
    def place(self) -> Iterator[None]:
        """Counts a stream for the block."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    @contextmanager
    def woken(self, event: asyncio.Event) -> Iterator[None]:
        """Has the event set when the process is about to end."""
        self._waiting.add(event)
        try:
            yield
        finally:
            self._waiting.discard(event)

    def leave(self) -> None:
        """Ends all streams now, for the process is about to end."""
        self.is_leaving = True
        for event in self._waiting:
            event.set()
