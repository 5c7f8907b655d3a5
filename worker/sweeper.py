"""The sweeper: every other second it looks for lost workers' rows, forgotten rows and rows past
their time.

Any number of sweepers may run; each change is one that only one of them can make. It runs in the
worker's parent process, which imports no torch.
"""

import logging
import math
import threading
import time

from sqlalchemy.exc import SQLAlchemyError

from app.backends import Backends
from app.db.adaptations import expire_due, next_waiting, recover_lost
from app.db.connections import writing
from app.db.idempotency import forget_keys
from app.db.lookups import count_failed
from app.db.purging import next_deleted, purge
from app.errors import ServiceError
from app.logs import ids_of
from app.messages.news import tell_changed
from app.observing.metrics import ENDED, FAILURES, LEASES_EXPIRED
from worker.freeing import free

PORTION = 100  # rows of one transaction: others write between two
PORTIONS = 40  # of one round
BREATH_S = 0.02

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
        failed = count_failed(connection, recovered) if recovered else 0
        forget_keys(connection)
        waiting = next_waiting(
            connection, older_than_s=0 if recovered else backends.settings.sweep_s
        )
    expired = _expire(backends)
    _purge(backends)
    LEASES_EXPIRED.inc(len(recovered))
    ENDED.labels("failed").inc(failed)
    FAILURES.labels("worker-lost").inc(failed)
    if recovered:
        log.warning("recovered from lost workers", extra=ids_of(recovered))
    if expired:
        log.info("adaptations expired", extra={**ids_of(expired), "status": "expired"})
    if recovered or expired:
        tell_changed(backends.queue.redis, [*recovered, *expired])
    if waiting is not None:
        log.debug("hinted again", extra=ids_of([waiting]))
        backends.queue.hint(waiting)


def _expire(backends: Backends) -> list[str]:
    """What was due, in portions, so that nobody waits for all of it."""
    expired: list[str] = []
    for _ in range(PORTIONS):
        with writing(backends.engine) as connection:
            portion = expire_due(connection, limit=PORTION)
        expired += portion
        if len(portion) < PORTION:
            break
        time.sleep(BREATH_S)
    return expired


def _purge(backends: Backends) -> None:
    """Removes a portion of what a deleted tenant had."""
    with writing(backends.engine) as connection:
        tenant_id = next_deleted(connection)
        gone = tenant_id is not None and purge(connection, tenant_id, limit=PORTION)
    if gone:
        log.info("tenant deleted")


def _sweep_until(backends: Backends, stop: threading.Event) -> None:
    freed_at = -math.inf
    while not stop.wait(backends.settings.sweep_s):
        try:
            sweep(backends)
            if time.monotonic() - freed_at >= backends.settings.free_s:
                freed_at = time.monotonic()
                free(backends)
        except (SQLAlchemyError, ServiceError) as error:
            log.warning("sweep failed", extra={"error": type(error).__name__})
