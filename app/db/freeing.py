"""What the disk need not hold any more: which blobs rows still refer to, which support sets were
kept long enough, which rows ended long ago. Each function in the caller's transaction; what changes
rows changes a bounded number of them.
"""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    func,
    not_,
    or_,
    select,
    union_all,
    update,
)

from app.db.connections import now_s
from app.db.tables import adaptations as t
from app.db.tables import checkpoints, tenants, webhook_deliveries
from app.values.lifecycle import Status

GOING_ON: Final = (Status.QUEUED, Status.RUNNING)
OVER: Final = (Status.EXPIRED, Status.FAILED, Status.CANCELLED)
READ_AT_ONCE: Final = 1000


def digests_of(connection: Connection, tenant_id: str) -> Iterator[str]:
    """The digests of every blob of the tenant that a row still needs, some of them twice.

    What goes on needs its support set and queries, and the φ that it goes on from; what succeeded
    its φ and, unless that was let go, what it was derived from; a checkpoint its θ, as long as it
    is there or somebody adapts from it.
    """
    mine, lives = t.c.tenant_id == tenant_id, _lives()
    goes_on, succeeded = t.c.status.in_(GOING_ON), and_(t.c.status == Status.SUCCEEDED, lives)
    kept = and_(succeeded, t.c.support_forgotten_at.is_(None))
    own = and_(checkpoints.c.tenant_id == tenant_id, checkpoints.c.deleted_at.is_(None))
    parts: list[Select[Any]] = [
        select(t.c.support_digest).where(mine, or_(goes_on, kept)),
        select(t.c.start_digest).where(mine, or_(goes_on, kept), t.c.start_digest.is_not(None)),
        select(t.c.query_digest).where(mine, goes_on, t.c.query_digest.is_not(None)),
        select(t.c.phi_digest).where(mine, succeeded, t.c.phi_digest.is_not(None)),
        select(checkpoints.c.digest).where(own),
        select(t.c.checkpoint_digest).where(
            t.c.checkpoint_tenant_id == tenant_id, or_(goes_on, succeeded)
        ),
    ]
    rows = connection.execution_options(yield_per=READ_AT_ONCE).execute(union_all(*parts))
    yield from rows.scalars()


def forget_supports(connection: Connection, *, usual_s: int | None, limit: int) -> list[str]:
    """Notes of adaptations that ended long enough ago that their support set is let go; their ids.

    usual_s: how long it is kept after the end where the tenant has no time of its own; None: as
    long as the adaptation.
    """
    kept_s = func.coalesce(tenants.c.support_retention_seconds, usual_s)
    long_ago = t.c.finished_at <= now_s() - kept_s
    due = (
        select(t.c.id)
        .join(tenants, tenants.c.id == t.c.tenant_id)
        .where(t.c.status == Status.SUCCEEDED, t.c.support_forgotten_at.is_(None), long_ago)
        .limit(limit)
    )
    ids = list(connection.execute(due).scalars())
    changed = update(t).where(t.c.id.in_(ids)).values(support_forgotten_at=now_s())
    if ids:
        connection.execute(changed)
    return ids


def remove_old(connection: Connection, *, older_than_s: float, limit: int) -> int:
    """Removes rows that expired, failed or were cancelled so long ago, with their events; how many
    those were.
    """
    long_ago = now_s() - older_than_s
    lived_on = and_(t.c.status == Status.EXPIRED, t.c.expires_at > long_ago)
    old = select(t.c.id).where(t.c.status.in_(OVER), t.c.finished_at <= long_ago, not_(lived_on))
    ids = list(connection.execute(old.limit(limit)).scalars())
    if ids:
        connection.execute(delete(t).where(t.c.id.in_(ids)))
    return len(ids)


def remove_old_deliveries(connection: Connection, *, older_than_s: float, limit: int) -> int:
    """Removes what was delivered, or given up, so long ago; how many those were."""
    d = webhook_deliveries
    old = select(d.c.id).where(d.c.finished_at <= now_s() - older_than_s).limit(limit)
    ids = list(connection.execute(old).scalars())
    if ids:
        connection.execute(delete(d).where(d.c.id.in_(ids)))
    return len(ids)


def _lives() -> ColumnElement[bool]:
    return or_(t.c.expires_at.is_(None), t.c.expires_at > now_s())
