"""The sweeper: every other second it looks for lost workers' rows, forgotten rows and rows past
their time.

Any number of sweepers may run; each change is one that only one of them can make. It runs in the
worker's parent process, which imports no torch.
"""

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from app.backends import Backends
from app.db.adaptations import expire_due, next_waiting, recover_lost
from app.db.connections import writing
from app.db.idempotency import forget_keys
from app.errors import ServiceError
from app.logs import ids_of
from app.messages.news import tell_changed

log = logging.getLogger(__name__)


def start_sweeper(backends: Backends) -> threading.Event:
    """Sweeps from a thread until the event is set."""
    stop = threading.Event()
    threading.Thread(
        target=_sweep_until, args=(backends, stop), name="sweeper", daemon=True
    ).start()
    return stop


def sweep(backends: Backends) -> None:
    """One round."""
    with writing(backends.engine) as connection:
        recovered = recover_lost(connection)
        expired = expire_due(connection)
        forget_keys(connection)
        waiting = next_waiting(
            connection, older_than_s=0 if recovered else backends.settings.sweep_s
        )
    if recovered:
        log.warning("recovered from lost workers", extra=ids_of(recovered))
    if expired:
        log.info("adaptations expired", extra={**ids_of(expired), "status": "expired"})
    if recovered or expired:
        tell_changed(backends.queue.redis, [*recovered, *expired])
    if waiting is not None:
        log.debug("hinted again", extra=ids_of([waiting]))
        backends.queue.hint(waiting)


def _sweep_until(backends: Backends, stop: threading.Event) -> None:
    while not stop.wait(backends.settings.sweep_s):
        try:
            sweep(backends)
        except (SQLAlchemyError, ServiceError) as error:
            log.warning("sweep failed", extra={"error": type(error).__name__})
