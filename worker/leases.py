"""The heartbeat: leases are renewed while the work makes progress, and not a moment longer.

A process that hangs, is stopped or loses the database loses its claims; somebody else runs them.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from app.backends import Backends
from app.db.adaptations import extend_leases
from app.db.connections import writing
from app.errors import ServiceError
from app.values.adaptation import Adaptation

STALLED_S = 120  # room for loading a checkpoint, a compilation, one long step

log = logging.getLogger(__name__)


class Progress:
    """When the work was last seen to move."""

    def __init__(self) -> None:
        self._moved_at = time.monotonic()

    def moved(self) -> None:
        self._moved_at = time.monotonic()

    @property
    def is_stalled(self) -> bool:
        return time.monotonic() - self._moved_at > STALLED_S


@contextmanager
def keeping_leases(backends: Backends, held: Sequence[Adaptation]) -> Iterator[Progress]:
    """Renews the leases of a batch from a thread of its own until the block ends or stalls."""
    progress, ended = Progress(), threading.Event()
    arguments = (backends, held, progress, ended)
    thread = threading.Thread(target=_beat, args=arguments, name="leases", daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        ended.set()
        thread.join()


def _beat(
    backends: Backends, held: Sequence[Adaptation], progress: Progress, ended: threading.Event
) -> None:
    while not ended.wait(backends.settings.heartbeat_s) and not progress.is_stalled:
        try:
            with writing(backends.engine) as connection:
                extend_leases(connection, held, lease_s=backends.settings.lease_s)
        except (SQLAlchemyError, ServiceError) as error:
            log.warning("leases not renewed: %s", type(error).__name__)
