"""All that an operator may know of the service in numbers, as one text."""

import threading
import time
from typing import Final

from app.backends import Backends
from app.db.connections import reading
from app.db.standing import count_adaptations, count_workers, oldest_waiting_s
from app.observing.exposition import exposition
from app.observing.facts import Facts
from app.observing.sharing import Sharing
from app.observing.stored import last_stored

FRESH_S: Final = 1.0  # however many ask, the database is asked once a second


class Observed:
    """The metrics of the whole service, as this process can tell them."""

    def __init__(self, backends: Backends, sharing: Sharing) -> None:
        self._backends = backends
        self._sharing = sharing
        self._turn = threading.Lock()
        self._facts: Facts | None = None
        self._read_at = 0.0

    def text(self) -> bytes:
        """Also where Redis is away: then without what only that knows. Raises ServiceError
        ``unavailable`` where the database does not answer.
        """
        totals = self._sharing.totals()
        stored = last_stored(self._backends.queue.redis) if totals.redis_up else None
        return exposition(totals, self._known(), stored)

    def _known(self) -> Facts:
        with self._turn:
            if self._facts is None or time.monotonic() - self._read_at >= FRESH_S:
                self._facts = self._read()
                self._read_at = time.monotonic()
            return self._facts

    def _read(self) -> Facts:
        with reading(self._backends.engine) as connection:
            return Facts(
                adaptations=count_adaptations(connection),
                oldest_waiting_s=oldest_waiting_s(connection),
                workers=count_workers(connection),
            )
