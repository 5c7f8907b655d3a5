"""The rows of tenants: whose the other rows are, what they may ask for, and how they end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update

from app.db.connections import insert_missing, now_s
from app.db.tables import tenants as t
from app.values.tenants import RESERVED

Place = tuple[str]  # the id of the last one before


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRow:
    """limits: its own in place of everybody's; support_retention_seconds: how long a support set
    outlives its adaptation's end, None as the setting says. Times: seconds since 1970.
    """

    id: str
    created_at: float
    deleted_at: float | None
    limits: Mapping[str, int | None]
    support_retention_seconds: int | None


COLUMNS: Final[tuple[Any, ...]] = (
    t.c.id,
    t.c.created_at,
    t.c.deleted_at,
    t.c.limits,
    t.c.support_retention_seconds,
)


def ensure_tenant(connection: Connection, tenant_id: str) -> bool:
    """Adds the tenant where it is missing; whether it was."""
    statement = insert_missing(connection, t).values(id=tenant_id, created_at=now_s())
    return connection.execute(statement.returning(t.c.id)).first() is not None


def find_tenant(connection: Connection, tenant_id: str) -> TenantRow | None:
    """The tenant, also while it is being deleted."""
    row = connection.execute(select(*COLUMNS).where(t.c.id == tenant_id)).one_or_none()
    return None if row is None else _tenant(row)


def is_deleted(connection: Connection, tenant_id: str) -> bool:
    """Whether it is being deleted."""
    found = find_tenant(connection, tenant_id)
    return found is not None and found.deleted_at is not None


def list_tenants(connection: Connection, *, after: Place | None, limit: int) -> list[TenantRow]:
    """Every tenant that callers can be of, by id: so many, from the first or after a place."""
    query = select(*COLUMNS).where(t.c.id.not_in(RESERVED), t.c.deleted_at.is_(None))
    if after is not None:
        query = query.where(t.c.id > after[0])
    return [_tenant(row) for row in connection.execute(query.order_by(t.c.id).limit(limit))]


def change_tenant(connection: Connection, tenant_id: str, values: Mapping[str, Any]) -> bool:
    """Sets ``limits`` and ``support_retention_seconds``, those that are given; False where there is
    no such tenant.
    """
    kept = (t.c.id == tenant_id, t.c.deleted_at.is_(None))
    return connection.execute(update(t).where(*kept).values(**values)).rowcount == 1


def mark_deleted(connection: Connection, tenant_id: str) -> bool:
    """Begins its deletion, which the sweeper brings to an end; False where there is none, or it
    began before.
    """
    kept = (t.c.id == tenant_id, t.c.deleted_at.is_(None))
    return connection.execute(update(t).where(*kept).values(deleted_at=now_s())).rowcount == 1


def lock_tenant(connection: Connection, tenant_id: str) -> None:
    """Waits for others that hold this lock, and holds it until the transaction ends.

    For what is numbered within a tenant. Rows that refer to the tenant can be added meanwhile; on
    SQLite, which has one writer at a time, there is nothing to lock.
    """
    row = select(t.c.id).where(t.c.id == tenant_id)
    connection.execute(row.with_for_update(key_share=True)).one()


def _tenant(row: Row[Any]) -> TenantRow:
    return TenantRow(**{**row._mapping, "limits": row.limits or {}})
