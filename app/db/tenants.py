"""The rows of tenants: whose the other rows are."""

from sqlalchemy import Connection, select

from app.db.connections import insert_missing, now_s
from app.db.tables import tenants as t


def ensure_tenant(connection: Connection, tenant_id: str) -> None:
    """Adds the tenant where it is missing."""
    connection.execute(insert_missing(connection, t).values(id=tenant_id, created_at=now_s()))


def lock_tenant(connection: Connection, tenant_id: str) -> None:
    """Waits for others that hold this lock, and holds it until the transaction ends.

    For what is numbered within a tenant. Rows that refer to the tenant can be added meanwhile; on
    SQLite, which has one writer at a time, there is nothing to lock.
    """
    row = select(t.c.id).where(t.c.id == tenant_id)
    connection.execute(row.with_for_update(key_share=True)).one()
