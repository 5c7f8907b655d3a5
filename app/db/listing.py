"""A tenant's adaptations in parts, newest first. Changes nothing."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, column, func, or_, select, tuple_

from app.db.connections import now_s
from app.db.lookups import EXPIRING, LEFT_S, standing_of
from app.db.tables import adaptations as t
from app.values.adaptation import Adaptation
from app.values.filters import Filters
from app.values.lifecycle import Status

Place = tuple[float, str]  # created_at and id of the last one before

ORDER: Final = (t.c.created_at.desc(), t.c.id.desc())
IS_DUE: Final = and_(t.c.status.in_(EXPIRING), t.c.expires_at <= now_s())


def list_adaptations(
    connection: Connection, tenant_id: str, filters: Filters, *, after: Place | None, limit: int
) -> Sequence[Adaptation]:
    """At most ``limit`` of a tenant's adaptations, from the newest or after a place: by the index
    of a tenant's rows, whose other filters are looked at row by row.
    """
    conditions = [t.c.tenant_id == tenant_id, *_conditions(connection, filters)]
    if after is not None:
        conditions.append(tuple_(t.c.created_at, t.c.id) < after)
    query = select(t, LEFT_S).where(*conditions).order_by(*ORDER).limit(limit)
    return [standing_of(row) for row in connection.execute(query)]


def _conditions(connection: Connection, filters: Filters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.status is not None:
        found.append(_stands(filters.status))
    if filters.checkpoint_name is not None:
        found.append(t.c.checkpoint_name == filters.checkpoint_name)
    if filters.checkpoint_version is not None:
        found.append(t.c.checkpoint_version == filters.checkpoint_version)
    has = _has_on_postgresql if connection.dialect.name == "postgresql" else _has_on_sqlite
    return [*found, *(has(key, value) for key, value in filters.metadata.items())]


def _stands(status: Status) -> ColumnElement[bool]:
    """The condition that a row has this status, an expired one also before that is written down."""
    if status is Status.EXPIRED:
        return or_(t.c.status == status, IS_DUE)
    if status in EXPIRING:
        return and_(t.c.status == status, or_(t.c.expires_at.is_(None), t.c.expires_at > now_s()))
    return t.c.status == status


def _has_on_postgresql(key: str, value: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = t.c.metadata[key].as_string() == value
    return found


def _has_on_sqlite(key: str, value: str) -> ColumnElement[bool]:
    """By json_each, for in a path of SQLite's a key could not hold a quotation mark."""
    each: Any = func.json_each(t.c.metadata).table_valued("key", "value", name="each_of_metadata")
    same = and_(each.c.key == key, each.c.value == value)
    return select(column("1", is_literal=True)).select_from(each).where(same).exists()
