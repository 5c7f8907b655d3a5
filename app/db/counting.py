"""How many adaptations wait or run, counted no further than it matters."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from app.db.tables import adaptations as t
from app.values.lifecycle import Status


def count_up_to(
    connection: Connection, most: int, statuses: Sequence[Status], *, tenant_id: str | None = None
) -> int:
    """How many rows have one of these statuses, of a tenant or of all; at most ``most``."""
    query = select(t.c.id).where(t.c.status.in_(statuses))
    if tenant_id is not None:
        query = query.where(t.c.tenant_id == tenant_id)
    return connection.execute(
        select(func.count()).select_from(query.limit(most).subquery())
    ).scalar_one()
