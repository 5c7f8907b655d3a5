"""The heartbeat: leases are renewed while the work makes progress, and not a moment longer.

A process that hangs, is stopped or loses the database loses its claims; somebody else runs them.
Work that holds no claim any more is told to stop.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context

from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.backends import Backends
from app.db.adaptations import extend_leases
from app.db.connections import writing
from app.errors import ServiceError
from app.messages.stopping import are_all_stopped
from app.values.adaptation import Adaptation
from app.values.progress import STALLED_S, Progress

REDIS_AWAY_S = 5.0  # not to wait for it in every step

log = logging.getLogger(__name__)


@contextmanager
def keeping_leases(backends: Backends, held: Sequence[Adaptation]) -> Iterator[Progress]:
    """Renews the leases of a batch from a thread of its own while the block moves, until it ends.

    The progress is told to stop once no row of the batch is held any more.
    """
    progress = Progress(stalled_s=STALLED_S, look=_Unwanted(backends, held))
    ended = threading.Event()
    arguments = (_beat, backends, held, progress, ended)
    # In a copy of our context, so that its lines name the batch as well.
    thread = threading.Thread(target=copy_context().run, args=arguments, name="leases", daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        ended.set()
        thread.join()


class _Unwanted:
    """Why a batch need not go on: every row of it was cancelled or deleted."""

    def __init__(self, backends: Backends, held: Sequence[Adaptation]) -> None:
        self._redis, self._ids = backends.queue.redis, [adaptation.id for adaptation in held]
        self._away_until = 0.0

    def __call__(self) -> str | None:
        if time.monotonic() < self._away_until:
            return None
        try:
            stopped = are_all_stopped(self._redis, self._ids)
        except RedisError:  # the heartbeat looks at the rows
            self._away_until = time.monotonic() + REDIS_AWAY_S
            return None
        return "every row of the batch was cancelled or deleted" if stopped else None


def _beat(
    backends: Backends, held: Sequence[Adaptation], progress: Progress, ended: threading.Event
) -> None:
    while not ended.wait(backends.settings.heartbeat_s):
        if progress.is_stalled:  # it may move again, and hears then whether its rows are still held
            continue
        try:
            with writing(backends.engine) as connection:
                kept = extend_leases(connection, held, lease_s=backends.settings.lease_s)
        except (SQLAlchemyError, ServiceError) as error:
            log.warning("leases not renewed", extra={"error": type(error).__name__})
            continue
        if kept == 0:
            progress.stop("no row of the batch is held any more")
            return
