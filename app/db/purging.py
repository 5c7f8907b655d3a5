"""The end of a tenant: all its rows in bounded portions, then the tenant itself."""

from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, or_, select

from app.db.tables import (
    adaptations,
    api_keys,
    checkpoint_aliases,
    checkpoints,
    idempotency_keys,
    tenants,
    usage,
    webhook_deliveries,
)

# Those whose rows refer to others come first.
OWN: Final = (
    webhook_deliveries,
    idempotency_keys,
    adaptations,
    checkpoint_aliases,
    checkpoints,
    usage,
    api_keys,
)


def next_deleted(connection: Connection) -> str | None:
    """A tenant whose deletion was begun, the earliest."""
    query = select(tenants.c.id).where(tenants.c.deleted_at.is_not(None))
    return connection.execute(query.order_by(tenants.c.deleted_at).limit(1)).scalar_one_or_none()


def purge(connection: Connection, tenant_id: str, *, limit: int) -> bool:
    """Removes up to ``limit`` of a deleted tenant's rows; whether it is gone with the last of
    them. Its blobs are the sweeper's, as nothing refers to them.
    """
    left = limit
    for table in OWN:
        left -= _remove_some(connection, table, tenant_id, left)
        if left <= 0:
            return False
    gone = and_(tenants.c.id == tenant_id, tenants.c.deleted_at.is_not(None))
    return connection.execute(delete(tenants).where(gone)).rowcount == 1


def _remove_some(connection: Connection, table: Table, tenant_id: str, limit: int) -> int:
    keys = list(table.primary_key.columns)
    some = select(*keys).where(table.c.tenant_id == tenant_id).limit(limit)
    rows = connection.execute(some).all()
    if not rows:
        return 0
    same: list[ColumnElement[bool]] = [
        and_(*(column == value for column, value in zip(keys, row, strict=True))) for row in rows
    ]
    return connection.execute(delete(table).where(or_(*same))).rowcount
