"""One event row per transition, numbered within its adaptation under that row's lock."""

from typing import Any

from sqlalchemy import Connection, func, insert, select

from app.db.engine import now_s
from app.db.tables import events as t


def record(connection: Connection, adaptation_id: str, kind: str, **detail: Any) -> None:
    """Appends an event; the adaptation's row is locked by the change that it tells of."""
    last = select(func.coalesce(func.max(t.c.number), 0) + 1).where(
        t.c.adaptation_id == adaptation_id
    )
    connection.execute(
        insert(t).values(
            adaptation_id=adaptation_id,
            number=last.scalar_subquery(),
            kind=str(kind),
            detail=detail,
            at=now_s(),
        )
    )


def kinds_of(connection: Connection, adaptation_id: str) -> list[str]:
    """The kinds of an adaptation's events in order."""
    query = select(t.c.kind).where(t.c.adaptation_id == adaptation_id).order_by(t.c.number)
    return list(connection.execute(query).scalars())
