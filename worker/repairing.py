"""Parameters that failed their check are derived again from θ and the support set."""

from sqlalchemy import select

from app.db.adaptations import find, replace_phi
from app.db.engine import reading, writing
from app.db.tables import adaptations
from app.lifecycle import Status
from models.inner_loop import Adapted
from worker.batch import load_work
from worker.desk import Desk, hot_checkpoint
from worker.engine import Work, adapt_rows
from worker.outcomes import store_phi


def repair(desk: Desk, adaptation_id: str) -> bool:
    """Adapts a succeeded row again and keeps its parameters; False where that cannot be done."""
    backends = desk.backends
    with reading(backends.engine) as connection:
        owner = select(adaptations.c.tenant_id).where(adaptations.c.id == adaptation_id)
        tenant_id = connection.execute(owner).scalar_one_or_none()
        one = find(connection, tenant_id, adaptation_id) if tenant_id else None
    if one is None or one.status is not Status.SUCCEEDED or one.phi_digest is None:
        return False
    work = load_work(desk, one)
    if not isinstance(work, Work):
        return False
    checkpoint = hot_checkpoint(desk, one.checkpoint)
    (result,) = adapt_rows(
        checkpoint, [work], outputs=one.outputs, steps=one.steps, device=desk.device
    )
    if not isinstance(result, Adapted):
        return False
    phi_digest = store_phi(desk, checkpoint, one, result)
    with writing(backends.engine) as connection:
        replace_phi(connection, one, phi_digest)
    return True
