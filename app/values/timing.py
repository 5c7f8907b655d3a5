"""Where the time of one request went, each part in milliseconds, as Server-Timing (W3C) says it."""

import time


class Timing:
    """What one request measured so far."""

    __slots__ = ("_marked", "_parts", "_started")

    def __init__(self) -> None:
        self._started = self._marked = time.perf_counter()
        self._parts: list[str] = []

    def mark(self, name: str) -> None:
        """Counts the time since the last mark, or since the beginning, to this part."""
        now = time.perf_counter()
        self.add(name, (now - self._marked) * 1000)
        self._marked = now

    def skip(self) -> None:
        """Lets the next part begin now."""
        self._marked = time.perf_counter()

    def add(self, name: str, milliseconds: float) -> None:
        """A part that was measured elsewhere."""
        self._parts.append(f"{name};dur={milliseconds:.3f}")

    def tell(self, name: str, word: object) -> None:
        """A part that is no time."""
        self._parts.append(f'{name};desc="{word}"')

    def header(self) -> bytes:
        """The header's value, ended by the total until now."""
        total_ms = (time.perf_counter() - self._started) * 1000
        return ", ".join([*self._parts, f"total;dur={total_ms:.3f}"]).encode("ascii")
