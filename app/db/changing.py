"""What a caller changes of an adaptation: its name, its metadata, how long it lives, whether it
goes on, whether it is there. Each function one change, in the caller's transaction.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, case, delete, null, or_, update

from app.db.connections import now_s
from app.db.events import record
from app.db.lookups import EXPIRING
from app.db.tables import adaptations as t
from app.values.lifecycle import Status, advance

LIVES: Final = (Status.QUEUED, Status.RUNNING)


def cancel(connection: Connection, tenant_id: str, adaptation_id: str) -> bool:
    """*queued* or *running* → *cancelled*, whoever holds a claim; False where it was neither."""
    for status in LIVES:
        waiting = and_(_is(tenant_id, adaptation_id), t.c.status == status)
        values = {"finished_at": now_s(), "lease_until": None}
        statement = update(t).where(waiting).values(status=advance(status, Status.CANCELLED))
        if connection.execute(statement.values(**values)).rowcount == 1:
            record(connection, adaptation_id, Status.CANCELLED)
            return True
    return False


def change(
    connection: Connection, tenant_id: str, adaptation_id: str, values: Mapping[str, Any]
) -> bool:
    """Sets ``name``, ``metadata`` and ``ttl_seconds``, those that are given; False where there is
    no such adaptation, or it has expired.

    A time to live counts from now on where the adaptation has ended, else from its end on.
    """
    changed = dict(values)
    if "ttl_seconds" in changed:
        ttl = changed["ttl_seconds"]
        ends = null() if ttl is None else now_s() + ttl
        changed["expires_at"] = case((t.c.status.in_(EXPIRING), ends), else_=t.c.expires_at)
    lives = or_(t.c.expires_at.is_(None), t.c.expires_at > now_s())
    kept = and_(_is(tenant_id, adaptation_id), t.c.status != Status.EXPIRED, lives)
    return connection.execute(update(t).where(kept).values(**changed)).rowcount == 1


def remove(connection: Connection, tenant_id: str, adaptation_id: str) -> bool:
    """Deletes the row with its events and idempotency keys, wherever it stands; False where there
    is none. Its blobs are the sweeper's.
    """
    return connection.execute(delete(t).where(_is(tenant_id, adaptation_id))).rowcount == 1


def _is(tenant_id: str, adaptation_id: str) -> ColumnElement[bool]:
    return and_(t.c.tenant_id == tenant_id, t.c.id == adaptation_id)
