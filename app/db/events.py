"""One event row per transition, numbered within its adaptation under that row's lock.

Where an adaptation has a webhook, its end is owed to it from the same transaction on.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, insert, select

from app.db.connections import now_s
from app.db.deliveries import owe
from app.db.tables import events as t
from app.values.event import Event
from app.values.lifecycle import FINAL

# Built once: putting a statement together takes as long as SQLite takes to run it.
APPEND: Final = insert(t).values(
    adaptation_id=bindparam("of"),
    number=select(func.coalesce(func.max(t.c.number), 0) + 1)
    .where(t.c.adaptation_id == bindparam("of"))
    .scalar_subquery(),
    kind=bindparam("told"),
    detail=bindparam("about"),
    at=now_s(),
)


def record(connection: Connection, adaptation_id: str, kind: str, **detail: Any) -> None:
    """Appends an event; the adaptation's row is locked by the change that it tells of."""
    record_all(connection, kind, [(adaptation_id, detail)])


def record_all(
    connection: Connection, kind: str, of: Sequence[tuple[str, Mapping[str, Any]]]
) -> None:
    """Appends an event of one kind to each of these adaptations, with its detail."""
    rows = [
        {"of": adaptation_id, "told": str(kind), "about": dict(detail)}
        for adaptation_id, detail in of
    ]
    if rows:
        connection.execute(APPEND, rows)
    if kind in FINAL:
        owe(connection, kind, [adaptation_id for adaptation_id, _ in of])


def events_after(
    connection: Connection, adaptation_id: str, number: int, *, limit: int | None = None
) -> list[Event]:
    """The events that follow this number, oldest first; all of them, or so many at most."""
    query = select(t).where(t.c.adaptation_id == adaptation_id, t.c.number > number)
    rows = connection.execute(query.order_by(t.c.number).limit(limit))
    return [Event(number=row.number, kind=row.kind, detail=row.detail, at=row.at) for row in rows]
