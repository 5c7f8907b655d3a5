"""Parameters that failed their check are derived again from θ and the support set."""

from sqlalchemy import select

from app.adaptation import Adaptation
from app.db.adaptations import find, lose, replace_phi
from app.db.engine import reading, writing
from app.db.tables import adaptations
from app.lifecycle import Status
from app.store import BlobDamaged, BlobMissing
from models.checkpoint import InvalidCheckpoint
from models.inner_loop import Adapted
from worker.batch import load_work
from worker.desk import Desk, hot_checkpoint
from worker.engine import Work, adapt_rows
from worker.outcomes import store_phi


def repair(desk: Desk, adaptation_id: str) -> bool:
    """Whether a succeeded row's parameters are whole now, derived again where they were not.

    A row that cannot be derived again becomes *failed*. Raises StoreUnavailable.
    """
    one = _find(desk, adaptation_id)
    if one is None or one.status is not Status.SUCCEEDED:
        return False
    if _is_whole(desk, one):
        return True
    phi_digest = _derive(desk, one)
    with writing(desk.backends.engine) as connection:
        if phi_digest is None:
            lose(connection, one)
            return False
        replace_phi(connection, one, phi_digest)
    return True


def _find(desk: Desk, adaptation_id: str) -> Adaptation | None:
    owner = select(adaptations.c.tenant_id).where(adaptations.c.id == adaptation_id)
    with reading(desk.backends.engine) as connection:
        tenant_id = connection.execute(owner).scalar_one_or_none()
        return find(connection, tenant_id, adaptation_id) if tenant_id else None


def _is_whole(desk: Desk, one: Adaptation) -> bool:
    try:
        desk.backends.store.get(one.tenant_id, str(one.phi_digest))
    except (BlobMissing, BlobDamaged):
        return False
    return True


def _derive(desk: Desk, one: Adaptation) -> str | None:
    work = load_work(desk, one)
    try:
        checkpoint = hot_checkpoint(desk, one.checkpoint)
    except (BlobMissing, BlobDamaged, InvalidCheckpoint):
        return None
    if not isinstance(work, Work):
        return None
    (result,) = adapt_rows(
        checkpoint, [work], outputs=one.outputs, steps=one.steps, device=desk.device
    )
    return store_phi(desk, checkpoint, one, result) if isinstance(result, Adapted) else None
