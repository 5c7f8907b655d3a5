"""A tenant's adaptations in parts, newest first."""

from collections.abc import Sequence

from app.backends import Backends
from app.db.connections import reading
from app.db.listing import Place
from app.db.listing import list_adaptations as list_rows
from app.values.adaptation import Adaptation
from app.values.filters import Filters

__all__ = ["Place", "list_adaptations"]


def list_adaptations(
    backends: Backends, tenant_id: str, filters: Filters, *, after: Place | None, limit: int
) -> tuple[Sequence[Adaptation], Place | None]:
    """So many of a tenant's adaptations, from the newest or after a place; and the place of the
    last one where there are more.
    """
    with reading(backends.engine) as connection:
        rows = list_rows(connection, tenant_id, filters, after=after, limit=limit + 1)
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], (last.created_at, last.id)
