"""Server-Sent Events (HTML standard, 9.2), line by line, whoever reads them."""

import json
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


class Lines:
    """What the lines of a stream come to; last_id: of the last whole event, to go on from."""

    def __init__(self) -> None:
        self.last_id: str | None = None
        self.has_ended = False
        self._data: list[str] = []
        self._kind = ""
        self._id: str | None = None

    def take(self, line: str) -> Iterator[Json]:
        """The event that this line ends, if it does."""
        if not line:
            yield from self._finished()
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id":
            self._id = value

    def _finished(self) -> Iterator[Json]:
        data, self._data, kind, self._kind = self._data, [], self._kind, ""
        self.last_id = self._id
        if not data:
            return
        if kind == "adaptation.deleted" or kind.removeprefix("adaptation.") in ENDED:
            self.has_ended = True
        yield json.loads("\n".join(data))


ENDED = frozenset({"succeeded", "failed", "cancelled", "expired"})
