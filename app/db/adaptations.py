"""The rows of adaptations: each function one transition, in the caller's transaction, with its
event.

A claim is a lease with an epoch: only who holds the epoch can end the row.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import CTE, Connection, and_, bindparam, case, insert, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from app.db.connections import now_s
from app.db.events import record, record_all
from app.db.lookups import adaptation_of
from app.db.tables import adaptations as t
from app.values.adaptation import Adaptation, NewAdaptation, Outcome, example_steps
from app.values.checkpoint import CheckpointRef
from app.values.lifecycle import Status, advance

ATTEMPTS_ALONE = 3
ACCEPTED: Final = tuple(f.name for f in fields(NewAdaptation) if f.name in t.c)
REF: Final = tuple(f.name for f in fields(CheckpointRef))

# What every adaptation passes is built once: putting a statement together takes as long as SQLite
# takes to run it.
INSERT: Final = (
    insert(t)
    .values(
        status=Status.QUEUED,
        epoch=0,
        attempts=0,
        attempts_alone=0,
        alone=False,
        created_at=now_s(),
        queued_at=now_s(),
    )
    .returning(t)
)
SUCCEED: Final = (
    update(t)
    .where(t.c.id == bindparam("of"))
    .values(
        status=advance(Status.RUNNING, Status.SUCCEEDED),
        finished_at=now_s(),
        expires_at=now_s() + t.c.ttl_seconds,
        lease_until=None,
        phi_digest=bindparam("phi"),
        metrics=bindparam("measured"),
        predictions=bindparam("predicted"),
        timing=bindparam("took"),
    )
)


def insert_queued(connection: Connection, new: NewAdaptation) -> Adaptation:
    """The new row, *queued*."""
    values = {name: getattr(new, name) for name in ACCEPTED}
    values |= {f"checkpoint_{name}": getattr(new.checkpoint, name) for name in REF}
    values["classes"] = list(new.classes) if new.classes is not None else None
    values["metadata"] = dict(new.metadata)
    row = connection.execute(INSERT, values).one()
    record(connection, new.id, Status.QUEUED)
    return adaptation_of(row)


def claim(
    connection: Connection,
    *,
    worker: str,
    limit: int,
    lease_s: float,
    most_example_steps: int,
    hint: str | None = None,
) -> list[Adaptation]:
    """Makes *running*, for this worker, the hinted or oldest waiting row and up to ``limit`` of
    its like.

    A row whose batch died before is claimed by itself. Two workers never claim the same row.
    """
    first = _first_waiting(connection, hint)
    if first is None:
        return []
    work = first.example_weight * example_steps(
        examples=first.support_examples, steps=first.steps, assess=first.assess
    )
    ids = _its_like(first, max(1, min(limit, most_example_steps // max(1, work))))
    statement = (
        update(t)
        .where(t.c.id.in_(select(ids.c.id)))
        .values(
            status=advance(Status.QUEUED, Status.RUNNING),
            epoch=t.c.epoch + 1,
            attempts=t.c.attempts + 1,
            attempts_alone=t.c.attempts_alone + case((t.c.alone, 1), else_=0),
            worker=worker,
            lease_until=now_s() + lease_s,
            started_at=now_s(),
        )
        .returning(t)
    )
    rows = connection.execute(statement).all()
    told = [(row.id, {"worker": worker, "epoch": row.epoch}) for row in rows]
    record_all(connection, Status.RUNNING, told)
    return sorted((adaptation_of(row) for row in rows), key=lambda one: one.queued_at)


def next_waiting(connection: Connection, *, older_than_s: float = 0) -> str | None:
    """The id of the oldest queued row, if it has waited that long."""
    waited = t.c.queued_at <= now_s() - older_than_s
    query = select(t.c.id).where(t.c.status == Status.QUEUED, waited).order_by(t.c.queued_at)
    return connection.execute(query.limit(1)).scalar_one_or_none()


def extend_leases(connection: Connection, held: Sequence[Adaptation], *, lease_s: float) -> int:
    """Renews the leases of rows still held under their epochs; how many those were."""
    statement = update(t).where(or_(*(_held(one) for one in held)))
    return connection.execute(statement.values(lease_until=now_s() + lease_s)).rowcount


def succeed(connection: Connection, ended: Sequence[tuple[Adaptation, Outcome]]) -> set[str]:
    """*running* → *succeeded* under each claim's epoch; the ids of those whose claim still held."""
    kept = _still_held(connection, [one for one, _ in ended])
    rows = [
        {
            "of": one.id,
            "phi": outcome.phi_digest,
            "measured": outcome.metrics,
            "predicted": outcome.predictions,
            "took": outcome.timing,
        }
        for one, outcome in ended
        if one.id in kept
    ]
    if rows:
        connection.execute(SUCCEED, rows)
    told = [(one.id, {"epoch": one.epoch}) for one, _ in ended if one.id in kept]
    record_all(connection, Status.SUCCEEDED, told)
    return kept


def fail(connection: Connection, held: Adaptation, *, code: str, detail: str) -> bool:
    """*running* → *failed* with its reason under the claim's epoch; False where the claim was
    lost.
    """
    expires = now_s() + t.c.ttl_seconds if held.ttl_seconds is not None else None
    statement = (
        update(t)
        .where(_held(held))
        .values(
            status=advance(Status.RUNNING, Status.FAILED),
            finished_at=now_s(),
            expires_at=expires,
            lease_until=None,
            error={"code": code, "detail": detail},
        )
    )
    if connection.execute(statement).rowcount != 1:
        return False
    record(connection, held.id, Status.FAILED, epoch=held.epoch, code=code)
    return True


def recover_lost(connection: Connection) -> list[str]:
    """Rows whose lease ran out: *queued* again to run alone, or *failed* after three attempts
    alone.

    Gives the ids that were changed.
    """
    lapsed = and_(t.c.status == Status.RUNNING, t.c.lease_until < now_s())
    query = select(t).where(lapsed).with_for_update(skip_locked=True)
    rows = [adaptation_of(row) for row in connection.execute(query)]
    for row in rows:
        if row.attempts_alone >= ATTEMPTS_ALONE:
            detail = f"its worker was lost {row.attempts} times, {ATTEMPTS_ALONE} of them alone"
            fail(connection, row, code="worker-lost", detail=detail)
        else:
            _requeue(connection, row)
    return [row.id for row in rows]


def expire_due(connection: Connection) -> list[str]:
    """*succeeded* rows past their time become *expired*; their ids."""
    due = and_(t.c.status == Status.SUCCEEDED, t.c.expires_at <= now_s())
    status = advance(Status.SUCCEEDED, Status.EXPIRED)
    ids = list(
        connection.execute(update(t).where(due).values(status=status).returning(t.c.id)).scalars()
    )
    for adaptation_id in ids:
        record(connection, adaptation_id, status)
    return ids


def give_back(
    connection: Connection, held: Sequence[Adaptation], *, pause_s: float, reason: str
) -> None:
    """*running* → *queued* for rows that their holder cannot work on now; no attempt is counted.

    Nobody claims them before the pause is over, or workers would spin on them.
    """
    for one in held:
        statement = (
            update(t)
            .where(_held(one))
            .values(
                status=advance(Status.RUNNING, Status.QUEUED),
                attempts=t.c.attempts - 1,
                attempts_alone=t.c.attempts_alone - case((t.c.alone, 1), else_=0),
                lease_until=None,
                queued_at=now_s() + pause_s,
            )
        )
        if connection.execute(statement).rowcount == 1:
            record(connection, one.id, Status.QUEUED, reason=reason, epoch=one.epoch)


def lose(connection: Connection, one: Adaptation) -> None:
    """*succeeded* → *failed* for a row whose parameters are gone and cannot be derived again."""
    detail = "its parameters and what they were derived from failed their checks; adapt again"
    same = and_(t.c.id == one.id, t.c.status == Status.SUCCEEDED)
    values = {"error": {"code": "damaged", "detail": detail}, "phi_digest": None}
    status = advance(Status.SUCCEEDED, Status.FAILED)
    if connection.execute(update(t).where(same).values(status=status, **values)).rowcount == 1:
        record(connection, one.id, status, code="damaged")


def replace_phi(connection: Connection, one: Adaptation, phi_digest: str) -> None:
    """Points a succeeded row at parameters that were derived again."""
    same = and_(t.c.id == one.id, t.c.status == Status.SUCCEEDED)
    if connection.execute(update(t).where(same).values(phi_digest=phi_digest)).rowcount == 1:
        record(connection, one.id, "derived-again", phi=phi_digest)


def _first_waiting(connection: Connection, hint: str | None) -> Any:
    """The hinted row if it still waits, else the oldest; two look-ups, each by an index."""
    columns = (t.c.id, t.c.batch_key, t.c.alone)
    work = (t.c.support_examples, t.c.example_weight, t.c.steps, t.c.assess)
    waiting = select(*columns, *work).where(t.c.status == Status.QUEUED, t.c.queued_at <= now_s())
    hinted = waiting.where(t.c.id == hint)
    oldest = waiting.order_by(t.c.queued_at).limit(1)
    return connection.execute(hinted).first() or connection.execute(oldest).first()


def _its_like(first: Any, limit: int) -> CTE:
    """The ids of a waiting row and of what fits one batch with it, locked; others' are skipped.

    Materialised, or PostgreSQL may evaluate the limit more than once.
    """
    like = t.c.id == first.id if first.alone else t.c.batch_key == first.batch_key
    ready = and_(t.c.status == Status.QUEUED, t.c.queued_at <= now_s(), like)
    ready = ready if first.alone else and_(ready, t.c.alone.is_(False))
    picked = select(t.c.id).where(ready).order_by(t.c.queued_at).limit(limit)
    locked = picked.with_for_update(skip_locked=True).cte("picked")
    return locked.prefix_with("MATERIALIZED", dialect="postgresql")


def _held(one: Adaptation) -> ColumnElement[bool]:
    return and_(t.c.id == one.id, t.c.epoch == one.epoch, t.c.status == Status.RUNNING)


def _still_held(connection: Connection, held: Sequence[Adaptation]) -> set[str]:
    """The ids of the rows that run under their claims' epochs, locked for this transaction."""
    epochs = {one.id: one.epoch for one in held}
    running = select(t.c.id, t.c.epoch).where(t.c.id.in_(epochs), t.c.status == Status.RUNNING)
    rows = connection.execute(running.with_for_update())
    return {row.id for row in rows if row.epoch == epochs[row.id]}


def _requeue(connection: Connection, lost: Adaptation) -> None:
    statement = (
        update(t)
        .where(_held(lost))
        .values(
            status=advance(Status.RUNNING, Status.QUEUED),
            alone=True,
            lease_until=None,
            queued_at=now_s(),
        )
    )
    if connection.execute(statement).rowcount == 1:
        record(connection, lost.id, Status.QUEUED, reason="worker-lost", epoch=lost.epoch)
