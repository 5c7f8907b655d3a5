"""Claims on rows of any table that has ``tables.claim_columns``, in the caller's transaction.

A claim is a lease with an epoch: only who holds the epoch can change the row. Rows whose batch died
run alone, and only attempts alone count. What the rows are for, which of them are alike, how they
end and what is told of it is their own module's.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    case,
    false,
    or_,
    select,
    update,
)

from app.db.connections import now_s
from app.values.lifecycle import Status, advance

ATTEMPTS_ALONE: Final = 3
POSTGRESQL: Final = "postgresql"


class Held(Protocol):
    """A claim as its holder remembers it."""

    @property
    def id(self) -> str: ...
    @property
    def epoch(self) -> int: ...


def next_waiting(connection: Connection, t: Table, *, older_than_s: float = 0) -> str | None:
    """The id of the oldest queued row, if it has waited that long."""
    waited = t.c.queued_at <= now_s() - older_than_s
    query = select(t.c.id).where(t.c.status == Status.QUEUED, waited).order_by(t.c.queued_at)
    return connection.execute(query.limit(1)).scalar_one_or_none()


def first_waiting(
    connection: Connection,
    t: Table,
    columns: Sequence[Column[Any]],
    *,
    hint: str | None = None,
    among: ColumnElement[bool] | None = None,
) -> Row[Any] | None:
    """Id, alone and these columns of the hinted row if it still waits, else of the oldest; of all,
    or among some.

    Two look-ups, each by an index.
    """
    waiting = select(t.c.id, t.c.alone, *columns).where(_waits(t))
    waiting = waiting if among is None else waiting.where(among)
    hinted = waiting.where(t.c.id == hint)
    oldest = waiting.order_by(t.c.queued_at).limit(1)
    return connection.execute(hinted).first() or connection.execute(oldest).first()


def claim(
    connection: Connection,
    t: Table,
    first: Row[Any],
    like: ColumnElement[bool],
    *,
    worker: str,
    limit: int,
    lease_s: float,
    beside: ColumnElement[bool] | None = None,
) -> Sequence[Row[Any]]:
    """Makes *running*, for this worker, the first waiting row and those like it: the rows.

    beside: others that get up to half of the places, and all that those leave free. A row whose
    batch died before is claimed by itself. Two workers never claim the same row.
    """
    same = _same(t, first, like)
    if beside is None or first.alone or limit < 2:
        ids = _oldest(t, same, limit).cte("picked").prefix_with("MATERIALIZED", dialect=POSTGRESQL)
        chosen = t.c.id.in_(select(ids.c.id))
    else:
        chosen = t.c.id.in_(_shared(connection, t, same, _same(t, first, beside), limit))
    statement = (
        update(t)
        .where(chosen)
        .values(
            status=advance(Status.QUEUED, Status.RUNNING),
            epoch=t.c.epoch + 1,
            attempts=t.c.attempts + 1,
            attempts_alone=t.c.attempts_alone + _one_if_alone(t),
            worker=worker,
            lease_until=now_s() + lease_s,
            started_at=now_s(),
        )
        .returning(t)
    )
    return connection.execute(statement).all()


def is_held(t: Table, held: Held) -> ColumnElement[bool]:
    """The condition that this row runs under this claim's epoch."""
    return and_(t.c.id == held.id, t.c.epoch == held.epoch, t.c.status == Status.RUNNING)


def still_held(connection: Connection, t: Table, held: Sequence[Held]) -> set[str]:
    """The ids of the rows that run under their claims' epochs, locked for this transaction."""
    epochs = {row.id: row.epoch for row in held}
    running = select(t.c.id, t.c.epoch).where(t.c.id.in_(epochs), t.c.status == Status.RUNNING)
    rows = connection.execute(running.with_for_update())
    return {row.id for row in rows if row.epoch == epochs[row.id]}


def extend_leases(connection: Connection, t: Table, held: Sequence[Held], *, lease_s: float) -> int:
    """Renews the leases of rows still held under their epochs; how many those were."""
    statement = update(t).where(or_(false(), *(is_held(t, row) for row in held)))
    return connection.execute(statement.values(lease_until=now_s() + lease_s)).rowcount


def give_back(
    connection: Connection, t: Table, held: Sequence[Held], *, pause_s: float
) -> set[str]:
    """*running* → *queued* for rows that their holder cannot work on now; no attempt is counted.

    Nobody claims them before the pause is over, or workers would spin on them. Gives the ids of
    those whose claim still held.
    """
    return _queue_again(
        connection,
        t,
        held,
        attempts=t.c.attempts - 1,
        attempts_alone=t.c.attempts_alone - _one_if_alone(t),
        queued_at=now_s() + pause_s,
    )


def lapsed(connection: Connection, t: Table) -> Sequence[Row[Any]]:
    """The rows whose lease has run out, locked; those that another one looks at are skipped.

    Those with ATTEMPTS_ALONE behind them are to fail, the others to be queued again.
    """
    over = and_(t.c.status == Status.RUNNING, t.c.lease_until < now_s())
    return connection.execute(select(t).where(over).with_for_update(skip_locked=True)).all()


def requeue(connection: Connection, t: Table, lost: Sequence[Held]) -> set[str]:
    """*running* → *queued* for rows whose worker was lost, each to run alone; the ids of those
    whose claim still held.
    """
    return _queue_again(connection, t, lost, alone=True, queued_at=now_s())


def _queue_again(connection: Connection, t: Table, held: Sequence[Held], **values: Any) -> set[str]:
    kept = still_held(connection, t, held) if held else set()
    if not kept:
        return kept
    status = advance(Status.RUNNING, Status.QUEUED)
    statement = update(t).where(t.c.id.in_(kept)).values(status=status, lease_until=None, **values)
    connection.execute(statement)
    return kept


def _same(t: Table, first: Row[Any], like: ColumnElement[bool]) -> ColumnElement[bool]:
    """The condition that a row goes into the batch of the first one."""
    return t.c.id == first.id if first.alone else and_(like, t.c.alone.is_(False))


def _oldest(t: Table, same: ColumnElement[bool], limit: int) -> Select[Any]:
    """The ids of the oldest that wait, locked; others' are skipped.

    Materialised where it is a part of a statement, or PostgreSQL may evaluate the limit more than
    once.
    """
    picked = select(t.c.id).where(_waits(t), same).order_by(t.c.queued_at).limit(limit)
    return picked.with_for_update(skip_locked=True)


def _shared(
    connection: Connection,
    t: Table,
    same: ColumnElement[bool],
    beside: ColumnElement[bool],
    limit: int,
) -> list[str]:
    """The ids of both, oldest first, each with half of the places and what the other leaves."""
    own = connection.execute(_oldest(t, same, limit)).scalars().all()
    others = connection.execute(_oldest(t, beside, limit)).scalars().all()
    kept = max(limit - len(others), (limit + 1) // 2)
    return [*own[:kept], *others[: limit - len(own[:kept])]]


def _waits(t: Table) -> ColumnElement[bool]:
    return and_(t.c.status == Status.QUEUED, t.c.queued_at <= now_s())


def _one_if_alone(t: Table) -> ColumnElement[int]:
    return case((t.c.alone, 1), else_=0)
