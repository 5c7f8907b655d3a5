"""The rows of adaptations: each function one transition, in the caller's transaction, with its
event. How rows are claimed and held: ``claims``.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, insert, select, update

from app.db import claims
from app.db.connections import now_s
from app.db.events import record, record_all
from app.db.lookups import adaptation_of
from app.db.tables import adaptations as t
from app.db.turns import had_its_turn, whose_turn
from app.values.adaptation import Adaptation, NewAdaptation, Outcome, example_steps
from app.values.checkpoint import CheckpointRef
from app.values.lifecycle import Status, advance
from app.values.ways import AUTO, RECIPE

ACCEPTED: Final = tuple(f.name for f in fields(NewAdaptation) if f.name in t.c)
SIZE: Final = (
    t.c.batch_key,
    t.c.support_examples,
    t.c.example_weight,
    t.c.adapts,
    t.c.steps,
    t.c.assess,
)
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
        warnings=bindparam("said"),
        timing=bindparam("took"),
        made_by=bindparam("made"),
    )
)


def insert_queued(connection: Connection, new: NewAdaptation) -> Adaptation:
    """The new row, *queued*."""
    return insert_all_queued(connection, [new])[new.id]


def insert_all_queued(
    connection: Connection, all_new: Sequence[NewAdaptation]
) -> dict[str, Adaptation]:
    """The new rows, *queued*, by their ids."""
    if not all_new:
        return {}
    rows = connection.execute(INSERT, [_values_of(new) for new in all_new]).all()
    record_all(connection, Status.QUEUED, [(new.id, {}) for new in all_new])
    return {row.id: adaptation_of(row) for row in rows}


def _values_of(new: NewAdaptation) -> dict[str, Any]:
    values = {name: getattr(new, name) for name in ACCEPTED}
    values |= {f"checkpoint_{name}": getattr(new.checkpoint, name) for name in REF}
    values["classes"] = list(new.classes) if new.classes is not None else None
    values["metadata"] = dict(new.metadata)
    values["warnings"] = [dict(warning) for warning in new.warnings]
    return values


def claim(
    connection: Connection,
    *,
    worker: str,
    limit: int,
    lease_s: float,
    most_example_steps: int,
    hint: str | None = None,
) -> list[Adaptation]:
    """Makes *running*, for this worker, the hinted or oldest waiting row of the tenant whose turn
    it is, and up to ``limit`` of its like: half of them other tenants' where those wait.

    A row whose batch died before is claimed by itself. Two workers never claim the same row.
    """
    turn = whose_turn(connection)
    if not turn:
        return []
    own, others = t.c.tenant_id == turn[0], turn[1:]
    first = claims.first_waiting(connection, t, SIZE, hint=hint, among=own)
    if first is None:
        return []
    like = t.c.batch_key == first.batch_key
    rows = claims.claim(
        connection,
        t,
        first,
        and_(like, own),
        worker=worker,
        limit=most_together(first, limit, most_example_steps),
        lease_s=lease_s,
        beside=and_(like, t.c.tenant_id.in_(others)) if others else None,
    )
    if others:
        had_its_turn(connection, turn[0])
    told = [(row.id, {"worker": worker, "epoch": row.epoch}) for row in rows]
    record_all(connection, Status.RUNNING, told)
    claimed = (adaptation_of(row) for row in rows)
    return sorted(claimed, key=lambda adaptation: adaptation.queued_at)


def next_waiting(connection: Connection, *, older_than_s: float = 0) -> str | None:
    """The id of the oldest queued row, if it has waited that long."""
    return claims.next_waiting(connection, t, older_than_s=older_than_s)


def extend_leases(connection: Connection, held: Sequence[claims.Held], *, lease_s: float) -> int:
    """Renews the leases of rows still held under their epochs; how many those were."""
    return claims.extend_leases(connection, t, held, lease_s=lease_s)


def succeed(connection: Connection, ended: Sequence[tuple[Adaptation, Outcome]]) -> set[str]:
    """*running* → *succeeded* under each claim's epoch; the ids of those whose claim still held."""
    kept = claims.still_held(connection, t, [adaptation for adaptation, _ in ended])
    held = [(adaptation, outcome) for adaptation, outcome in ended if adaptation.id in kept]
    rows = [
        {
            "of": adaptation.id,
            "phi": outcome.phi_digest,
            "measured": outcome.metrics,
            "predicted": outcome.predictions,
            "said": [dict(warning) for warning in (*adaptation.warnings, *outcome.warnings)],
            "took": outcome.timing,
            "made": outcome.made_by,
        }
        for adaptation, outcome in held
    ]
    if rows:
        connection.execute(SUCCEED, rows)
    told = [(adaptation.id, {"epoch": adaptation.epoch}) for adaptation, _ in held]
    record_all(connection, Status.SUCCEEDED, told)
    return kept


def fail(connection: Connection, held: Adaptation, *, code: str, detail: str) -> bool:
    """*running* → *failed* with its reason under the claim's epoch; False where the claim was
    lost.
    """
    expires = now_s() + t.c.ttl_seconds if held.ttl_seconds is not None else None
    statement = (
        update(t)
        .where(claims.is_held(t, held))
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
    rows = [adaptation_of(row) for row in claims.lapsed(connection, t)]
    spent = [row for row in rows if row.attempts_alone >= claims.ATTEMPTS_ALONE]
    for row in spent:
        alone = f"{claims.ATTEMPTS_ALONE} of them alone"
        detail = f"its worker was lost {row.attempts} times, {alone}"
        fail(connection, row, code="worker-lost", detail=detail)
    lost = [row for row in rows if row.attempts_alone < claims.ATTEMPTS_ALONE]
    _tell_queued(connection, lost, claims.requeue(connection, t, lost), reason="worker-lost")
    return [row.id for row in rows]


def expire_due(connection: Connection, *, limit: int = 1000) -> list[str]:
    """*succeeded* and *failed* rows past their time become *expired*, up to ``limit`` of each;
    their ids.
    """
    expired: list[str] = []
    for before in (Status.SUCCEEDED, Status.FAILED):
        due = and_(t.c.status == before, t.c.expires_at <= now_s())
        some = select(t.c.id).where(due).limit(limit).with_for_update(skip_locked=True)
        chosen = list(connection.execute(some).scalars())
        if chosen:
            status = advance(before, Status.EXPIRED)
            connection.execute(update(t).where(t.c.id.in_(chosen)).values(status=status))
            record_all(connection, status, [(one, {}) for one in chosen])
        expired += chosen
    return expired


def give_back(
    connection: Connection, held: Sequence[claims.Held], *, pause_s: float, reason: str
) -> None:
    """*running* → *queued* for rows that their holder cannot work on now; no attempt is counted.

    Nobody claims them before the pause is over.
    """
    kept = claims.give_back(connection, t, held, pause_s=pause_s)
    _tell_queued(connection, held, kept, reason=reason)


def lose(connection: Connection, adaptation: Adaptation) -> None:
    """*succeeded* → *failed* for a row whose parameters are gone and cannot be derived again."""
    detail = "its parameters and what they were derived from failed their checks; adapt again"
    same = and_(t.c.id == adaptation.id, t.c.status == Status.SUCCEEDED)
    values = {"error": {"code": "damaged", "detail": detail}, "phi_digest": None}
    status = advance(Status.SUCCEEDED, Status.FAILED)
    if connection.execute(update(t).where(same).values(status=status, **values)).rowcount == 1:
        record(connection, adaptation.id, status, code="damaged")


def replace_phi(connection: Connection, adaptation: Adaptation, phi_digest: str) -> None:
    """Points a succeeded row at parameters that were derived again."""
    same = and_(t.c.id == adaptation.id, t.c.status == Status.SUCCEEDED)
    if connection.execute(update(t).where(same).values(phi_digest=phi_digest)).rowcount == 1:
        record(connection, adaptation.id, "derived-again", phi=phi_digest)


def _tell_queued(
    connection: Connection, held: Sequence[claims.Held], kept: set[str], *, reason: str
) -> None:
    told = [(row.id, {"reason": reason, "epoch": row.epoch}) for row in held if row.id in kept]
    record_all(connection, Status.QUEUED, told)


def most_together(first: Row[Any] | Adaptation, limit: int, most_example_steps: int) -> int:
    """How many rows like this one a batch takes; one that is compared goes by itself."""
    if first.assess or first.adapts == AUTO:
        return 1
    return max(1, min(limit, most_example_steps // max(1, _work_of(first))))


def _work_of(row: Row[Any] | Adaptation) -> int:
    """What one row adds to the work of its batch."""
    weight: int = row.example_weight
    return weight * example_steps(
        examples=row.support_examples,
        adapts=row.adapts or RECIPE,
        steps=row.steps,
        assess=row.assess,
    )
