"""Parameters that failed their check are derived again from θ and the support set."""

import logging

from structlog.contextvars import bind_contextvars

from app.db.adaptations import lose, replace_phi
from app.db.connections import reading, writing
from app.db.lookups import find, owner_of
from app.messages.news import tell_changed
from app.store import BlobDamaged, BlobMissing
from app.values.adaptation import Adaptation
from app.values.lifecycle import Status
from models.files.checkpoint import InvalidCheckpoint
from models.inner_loop import Adapted
from worker.batch import load_work
from worker.bench import Bench, hot_checkpoint
from worker.outcomes import store_phi
from worker.stacking import Failure, Work, adapt_rows

log = logging.getLogger(__name__)


def repair(bench: Bench, adaptation_id: str) -> bool:
    """Whether a succeeded row's parameters are whole now, derived again where they were not.

    A row whose support set is damaged as well becomes *failed*. Raises StoreUnavailable.
    """
    bind_contextvars(adaptation_id=adaptation_id, worker=bench.name)
    one = _find(bench, adaptation_id)
    if one is None or one.status is not Status.SUCCEEDED:
        return False
    if _is_whole(bench, one):
        return True
    work = load_work(bench, one)
    if isinstance(work, Failure):
        now = _find(bench, adaptation_id)
        if now is not None and _is_whole(bench, now):  # somebody else was faster
            return True
        with writing(bench.backends.engine) as connection:
            lose(connection, one)
        log.error("parameters and support set are lost", extra={"status": "failed"})
        tell_changed(bench.backends.queue.redis, [one.id])
        return False
    phi_digest = _derive(bench, one, work)
    if phi_digest is None:  # memory, or θ: another time, or another worker, may do better
        log.warning("parameters not derived again")
        return False
    with writing(bench.backends.engine) as connection:
        replace_phi(connection, one, phi_digest)
    log.warning("parameters derived again", extra={"status": one.status, "steps": one.steps})
    tell_changed(bench.backends.queue.redis, [one.id])
    return True


def _find(bench: Bench, adaptation_id: str) -> Adaptation | None:
    with reading(bench.backends.engine) as connection:
        tenant_id = owner_of(connection, adaptation_id)
        return find(connection, tenant_id, adaptation_id) if tenant_id else None


def _is_whole(bench: Bench, one: Adaptation) -> bool:
    try:
        bench.backends.store.get(one.tenant_id, str(one.phi_digest))
    except (BlobMissing, BlobDamaged):
        return False
    return True


def _derive(bench: Bench, one: Adaptation, work: Work) -> str | None:
    try:
        checkpoint = hot_checkpoint(bench, one.checkpoint)
    except (BlobMissing, BlobDamaged, InvalidCheckpoint):
        return None
    (result,) = adapt_rows(
        checkpoint, [work], outputs=one.outputs, steps=one.steps, device=bench.device
    )
    return store_phi(bench, checkpoint, one, result) if isinstance(result, Adapted) else None
