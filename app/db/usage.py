"""What each key has used, by day of UTC: one number for each thing that is counted."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from app.db.tables import usage as t

Counts = Mapping[tuple[str, str, str, str], float]  # by tenant, key, day and what is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """amount: of one thing that one key (None: nobody's) used on a day."""

    day: str
    key_id: str | None
    counted: str
    amount: float


def add_usage(connection: Connection, counts: Counts) -> None:
    """Adds to what was counted before. In the order of their keys, so that no two wait for one
    another; what belongs to a tenant that is gone must not be among them.
    """
    if not counts:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(t)
    summed = {"amount": t.c.amount + insert.excluded.amount}
    statement = insert.on_conflict_do_update(index_elements=list(t.primary_key), set_=summed)
    names = ("tenant_id", "key_id", "day", "counted")
    rows = [dict(zip(names, key, strict=True)) | {"amount": counts[key]} for key in sorted(counts)]
    connection.execute(statement, rows)


def list_usage(
    connection: Connection, tenant_id: str, *, first: str, last: str, key_id: str | None
) -> list[Used]:
    """What a tenant used from one day to another, both included; of one key, or (None) of all."""
    query = select(t.c.day, t.c.key_id, t.c.counted, t.c.amount).where(
        t.c.tenant_id == tenant_id, t.c.day.between(first, last)
    )
    if key_id is not None:
        query = query.where(t.c.key_id == key_id)
    rows = connection.execute(query.order_by(t.c.day, t.c.key_id, t.c.counted))
    return [
        Used(day=row.day, key_id=row.key_id or None, counted=row.counted, amount=row.amount)
        for row in rows
    ]
