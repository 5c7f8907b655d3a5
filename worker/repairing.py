"""Parameters that failed their check are derived again from θ and the support set."""

import logging
from dataclasses import replace

from structlog.contextvars import bind_contextvars

from app.db.adaptations import lose, replace_phi
from app.db.connections import reading, writing
from app.db.lookups import find, owner_of
from app.messages.news import tell_changed
from app.store import BlobDamaged, BlobMissing
from app.values.adaptation import Adaptation
from app.values.lifecycle import Status
from models.files.checkpoint import InvalidCheckpoint
from worker.batch import load_work
from worker.bench import Bench, hot_checkpoint
from worker.observing import count_failure
from worker.outcomes import order_of, store_phi
from worker.stacking import adapt_rows
from worker.work import Failure, Work

log = logging.getLogger(__name__)


def repair(bench: Bench, adaptation_id: str) -> bool:
    """Whether a succeeded row's parameters are whole now, derived again where they were not.

    A row whose support set is damaged as well becomes *failed*. Raises StoreUnavailable.
    """
    bind_contextvars(adaptation_id=adaptation_id, worker=bench.name)
    adaptation = _find(bench, adaptation_id)
    if adaptation is None or adaptation.status is not Status.SUCCEEDED:
        return False
    if _is_whole(bench, adaptation):
        return True
    work = load_work(bench, adaptation)
    if isinstance(work, Failure):
        now = _find(bench, adaptation_id)
        if now is not None and _is_whole(bench, now):  # somebody else was faster
            return True
        with writing(bench.backends.engine) as connection:
            lose(connection, adaptation)
        count_failure("damaged")
        log.error("parameters and support set are lost", extra={"status": "failed"})
        tell_changed(bench.backends.queue.redis, [adaptation.id])
        return False
    phi_digest = _derive(bench, adaptation, work)
    if phi_digest is None:  # memory, or θ: another time, or another worker, may do better
        log.warning("parameters not derived again")
        return False
    with writing(bench.backends.engine) as connection:
        replace_phi(connection, adaptation, phi_digest)
    log.warning(
        "parameters derived again", extra={"status": adaptation.status, "steps": adaptation.steps}
    )
    tell_changed(bench.backends.queue.redis, [adaptation.id])
    return True


def _find(bench: Bench, adaptation_id: str) -> Adaptation | None:
    with reading(bench.backends.engine) as connection:
        tenant_id = owner_of(connection, adaptation_id)
        return find(connection, tenant_id, adaptation_id) if tenant_id else None


def _is_whole(bench: Bench, adaptation: Adaptation) -> bool:
    try:
        bench.backends.store.get(adaptation.tenant_id, str(adaptation.phi_digest))
    except (BlobMissing, BlobDamaged):
        return False
    return True


def _derive(bench: Bench, adaptation: Adaptation, work: Work) -> str | None:
    try:
        checkpoint = hot_checkpoint(bench, adaptation.checkpoint)
    except (BlobMissing, BlobDamaged, InvalidCheckpoint):
        return None
    way = order_of(checkpoint, adaptation, work).way
    (result,) = adapt_rows(
        checkpoint,
        [replace(work, step_size=way.step_size)],
        outputs=adaptation.outputs,
        steps=way.steps,
        adapts=way.adapts,
        device=bench.device,
    )
    if isinstance(result, Failure):
        return None
    return store_phi(bench, checkpoint, adaptation, way, work, result)
