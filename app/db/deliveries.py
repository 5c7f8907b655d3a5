"""The rows of what webhooks are owed: made in the transaction of what they tell of, claimed like
adaptations (``claims``), and sent until they are taken or have been tried often enough.
"""

from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import Column, Connection, Row, bindparam, exists, insert, select, update

from app.db import claims
from app.db.connections import now_s
from app.db.lookups import adaptation_of
from app.db.tables import adaptations, events
from app.db.tables import webhook_deliveries as t
from app.values.adaptation import new_id
from app.values.delivery import Delivery, message_about
from app.values.event import Event
from app.values.lifecycle import Status, advance

AT_ONCE: Final = 500  # ids in one statement
LIKE: Final[tuple[Column[Any], ...]] = (t.c.tenant_id,)
COLUMNS: Final = tuple(f.name for f in fields(Delivery))

# Built once, for every adaptation that ends passes it; a kind that ends comes but once.
ENDED: Final = (
    select(adaptations, events.c.number, events.c.kind, events.c.detail, events.c.at)
    .join(events, events.c.adaptation_id == adaptations.c.id)
    .where(
        adaptations.c.id.in_(bindparam("ids", expanding=True)),
        adaptations.c.webhook.is_not(None),
        events.c.kind == bindparam("told"),
    )
)


def owe(connection: Connection, kind: str, adaptation_ids: Sequence[str]) -> None:
    """Queues a message about an event of this kind for those of them that have a webhook."""
    for first in range(0, len(adaptation_ids), AT_ONCE):
        asked = {"ids": adaptation_ids[first : first + AT_ONCE], "told": str(kind)}
        rows = [_owed(row) for row in connection.execute(ENDED, asked)]
        if rows:
            values = {"created_at": now_s(), "queued_at": now_s()}
            connection.execute(insert(t).values(**values), rows)


def is_due(connection: Connection) -> bool:
    """Whether a delivery waits for its attempt now."""
    waiting = select(t.c.id).where(t.c.status == Status.QUEUED, t.c.queued_at <= now_s())
    return bool(connection.execute(select(exists(waiting))).scalar_one())


def claim(
    connection: Connection, *, worker: str, limit: int, lease_s: float, busy: Collection[str]
) -> list[Delivery]:
    """Makes *running* the delivery that is due first and up to ``limit`` of its tenant's.

    busy: tenants that have to wait, so that one whose receivers are slow is no burden to others.
    """
    waiting = (
        select(t.c.id, t.c.alone, *LIKE)
        .where(t.c.status == Status.QUEUED, t.c.queued_at <= now_s(), t.c.tenant_id.not_in(busy))
        .order_by(t.c.queued_at)
    )
    first = connection.execute(waiting.limit(1)).first()
    if first is None:
        return []
    rows = claims.claim(
        connection,
        t,
        first,
        t.c.tenant_id == first.tenant_id,
        worker=worker,
        limit=limit,
        lease_s=lease_s,
    )
    return [_delivery_of(row) for row in rows]


def end(
    connection: Connection, held: Delivery, to: Status, *, answered: int | None, error: str | None
) -> bool:
    """*running* → *succeeded* or *failed* under the claim's epoch; False where it was lost."""
    values = {"status": advance(Status.RUNNING, to), "lease_until": None, "finished_at": now_s()}
    return _change(connection, held, values | {"answered": answered, "error": error})


def try_again(
    connection: Connection,
    held: Delivery,
    *,
    pause_s: float,
    answered: int | None,
    error: str | None,
) -> bool:
    """*running* → *queued* after an attempt that counts: nobody claims it before the pause is
    over. False where the claim was lost.
    """
    status = advance(Status.RUNNING, Status.QUEUED)
    values = {"status": status, "lease_until": None, "queued_at": now_s() + pause_s}
    return _change(connection, held, values | {"answered": answered, "error": error})


def requeue_lost(connection: Connection) -> int:
    """*running* → *queued* for those whose sender was lost; how many those were."""
    lost = [_delivery_of(row) for row in claims.lapsed(connection, t)]
    return len(claims.requeue(connection, t, lost))


def list_deliveries(connection: Connection, adaptation_id: str) -> list[Delivery]:
    """What an adaptation's webhook was told or is to be told, in the order of the events."""
    query = select(t).where(t.c.adaptation_id == adaptation_id)
    return [_delivery_of(row) for row in connection.execute(query.order_by(t.c.event_number))]


def _owed(row: Row[Any]) -> dict[str, Any]:
    event = Event(number=row.number, kind=row.kind, detail=row.detail, at=row.at)
    return {
        "id": new_id("wh"),
        "status": Status.QUEUED,
        "epoch": 0,
        "attempts": 0,
        "attempts_alone": 0,
        "alone": False,
        "tenant_id": row.tenant_id,
        "adaptation_id": row.id,
        "event_number": event.number,
        "url": row.webhook,
        "payload": message_about(adaptation_of(row), event),
    }


def _change(connection: Connection, held: Delivery, values: dict[str, Any]) -> bool:
    statement = update(t).where(claims.is_held(t, held)).values(**values)
    return connection.execute(statement).rowcount == 1


def _delivery_of(row: Row[Any]) -> Delivery:
    values = {name: row._mapping[name] for name in COLUMNS}
    return Delivery(**values | {"status": Status(values["status"])})
