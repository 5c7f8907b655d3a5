"""Whose turn it is: of the tenants whose adaptations wait, the one that was served longest ago.

A tenant with ten thousand waiting rows so delays another's single one by about one batch.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select, update

from app.db.connections import now_s
from app.db.tables import adaptations as t
from app.db.tables import tenants
from app.values.lifecycle import Status

MOST = 100  # of those that wait; more take their turn when these have had theirs


def whose_turn(connection: Connection) -> Sequence[str]:
    """The tenants with rows that can be claimed now, served longest ago first.

    Goes from tenant to tenant by the index of status and tenant, so that it costs the number of
    tenants, not of rows.
    """
    queued = t.c.status == Status.QUEUED
    first = select(func.min(t.c.tenant_id).label("id")).where(queued)
    waiting = first.cte("waiting", recursive=True)
    after = select(func.min(t.c.tenant_id)).where(queued, t.c.tenant_id > waiting.c.id)
    waiting = waiting.union_all(select(after.scalar_subquery()).where(waiting.c.id.is_not(None)))
    can_go = (
        select(t.c.id)
        .where(queued, t.c.tenant_id == waiting.c.id, t.c.queued_at <= now_s())
        .exists()
    )
    query = (
        select(waiting.c.id)
        .join(tenants, tenants.c.id == waiting.c.id)
        .where(can_go)
        .order_by(func.coalesce(tenants.c.served_at, 0), waiting.c.id)
        .limit(MOST)
    )
    return connection.execute(query).scalars().all()


def had_its_turn(connection: Connection, tenant_id: str) -> None:
    """Lets every other tenant that waits go before this one."""
    connection.execute(update(tenants).where(tenants.c.id == tenant_id).values(served_at=now_s()))
