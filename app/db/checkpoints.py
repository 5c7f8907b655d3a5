"""The rows of checkpoints: immutable versions under a name, by digest."""

from threading import Lock
from typing import Any, Final

from cachetools import LRUCache
from sqlalchemy import Connection, Row, bindparam, func, insert, or_, select
from sqlalchemy.sql.elements import ColumnElement

from app.db.connections import now_s
from app.db.tables import checkpoints as t
from app.db.tenants import ensure_tenant, lock_tenant
from app.values.checkpoint import CheckpointRef, CheckpointRow
from app.values.description import Description, read_description
from app.values.tenants import SHARED

DESCRIPTIONS_KEPT: Final = 64


def _visible(tenant_id: Any) -> ColumnElement[bool]:
    return or_(t.c.tenant_id == tenant_id, t.c.tenant_id == SHARED)


# Built once, and without the description, which is some kilobytes of JSON.
FIND: Final = (
    select(*(column for column in t.c if column is not t.c.description))
    .where(_visible(bindparam("of_tenant")), t.c.name == bindparam("of_name"))
    .order_by(t.c.tenant_id == SHARED, t.c.version.desc())
    .limit(1)
)
FIND_PINNED: Final = FIND.where(t.c.version == bindparam("of_version"))

_described: LRUCache[str, Description] = LRUCache(DESCRIPTIONS_KEPT)
_lock = Lock()


def add_version(
    connection: Connection,
    tenant_id: str,
    digest: str,
    size: int,
    parameters: int,
    description: dict[str, Any],
) -> CheckpointRow:
    """The version that this digest already has under its name, or the next one."""
    ensure_tenant(connection, tenant_id)
    lock_tenant(connection, tenant_id)  # or two at once would take the same number
    name = description["name"]
    mine = (t.c.tenant_id == tenant_id, t.c.name == name)
    found = connection.execute(select(t).where(*mine, t.c.digest == digest)).one_or_none()
    if found:
        return _row(found, read_description(found.description))
    last = select(func.coalesce(func.max(t.c.version), 0) + 1).where(*mine).scalar_subquery()
    statement = insert(t).values(
        tenant_id=tenant_id,
        name=name,
        version=last,
        digest=digest,
        bytes=size,
        parameters=parameters,
        description=description,
        created_at=now_s(),
    )
    return _row(connection.execute(statement.returning(t)).one(), read_description(description))


def find_version(
    connection: Connection, tenant_id: str, name: str, version: int | None
) -> CheckpointRow | None:
    """The tenant's own version, else the shared one; the newest where no version is asked for."""
    asked = {"of_tenant": tenant_id, "of_name": name, "of_version": version}
    row = connection.execute(FIND if version is None else FIND_PINNED, asked).one_or_none()
    return _row(row, _description(connection, row)) if row else None


def list_versions(connection: Connection, tenant_id: str) -> list[CheckpointRow]:
    """All versions that a tenant can use, by name, newest first."""
    query = select(t).where(_visible(tenant_id)).order_by(t.c.name, t.c.version.desc())
    return [_row(row, read_description(row.description)) for row in connection.execute(query)]


def _description(connection: Connection, row: Row[Any]) -> Description:
    """What the row's file says of itself: by its digest, so that it is read and parsed once."""
    with _lock:
        known = _described.get(row.digest)
    if known is not None:
        return known
    same = (t.c.tenant_id == row.tenant_id, t.c.name == row.name, t.c.version == row.version)
    found = connection.execute(select(t.c.description).where(*same)).scalar_one()
    with _lock:
        return _described.setdefault(row.digest, read_description(found))


def _row(row: Row[Any], description: Description) -> CheckpointRow:
    ref = CheckpointRef(
        tenant_id=row.tenant_id, name=row.name, version=row.version, digest=row.digest
    )
    return CheckpointRow(
        ref=ref,
        bytes=row.bytes,
        parameters=row.parameters,
        description=description,
        created_at=row.created_at,
    )
