"""The rows of tenants: whose the other rows are."""

from sqlalchemy import Connection, insert, select

from app.db.connections import now_s
from app.db.tables import tenants as t


def ensure_tenant(connection: Connection, tenant_id: str) -> None:
    """Adds the tenant where it is missing."""
    if connection.execute(select(t.c.id).where(t.c.id == tenant_id)).first() is None:
        connection.execute(insert(t).values(id=tenant_id, created_at=now_s()))
