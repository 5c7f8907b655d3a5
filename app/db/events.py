"""One event row per transition, numbered within its adaptation under that row's lock."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, insert, select

from app.db.connections import now_s
from app.db.tables import events as t

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
