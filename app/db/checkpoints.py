"""The rows of checkpoints: immutable versions under a name, by digest."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select

from app.adaptation import CheckpointRef
from app.db.engine import now_s
from app.db.tables import checkpoints as t
from app.db.tenants import SHARED, ensure_tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRow:
    """One version; description: the file's metadata; bytes: of the file; parameters: numbers in
    θ.
    """

    ref: CheckpointRef
    bytes: int
    parameters: int
    description: dict[str, Any]
    created_at: float


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
    name = description["name"]
    mine = (t.c.tenant_id == tenant_id, t.c.name == name)
    found = connection.execute(select(t).where(*mine, t.c.digest == digest)).one_or_none()
    if found:
        return _row(found)
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
    return _row(connection.execute(statement.returning(t)).one())


def find_version(
    connection: Connection, tenant_id: str, name: str, version: int | None
) -> CheckpointRow | None:
    """The tenant's own version, else the shared one; the newest where no version is asked for."""
    query = select(t).where(_visible(tenant_id), t.c.name == name)
    if version is not None:
        query = query.where(t.c.version == version)
    own_first = (t.c.tenant_id == SHARED, t.c.version.desc())
    row = connection.execute(query.order_by(*own_first).limit(1)).one_or_none()
    return _row(row) if row else None


def list_versions(connection: Connection, tenant_id: str) -> list[CheckpointRow]:
    """All versions that a tenant can use, by name, newest first."""
    query = select(t).where(_visible(tenant_id)).order_by(t.c.name, t.c.version.desc())
    return [_row(row) for row in connection.execute(query)]


def _visible(tenant_id: str) -> Any:
    return or_(t.c.tenant_id == tenant_id, t.c.tenant_id == SHARED)


def _row(row: Row[Any]) -> CheckpointRow:
    ref = CheckpointRef(
        tenant_id=row.tenant_id, name=row.name, version=row.version, digest=row.digest
    )
    return CheckpointRow(
        ref=ref,
        bytes=row.bytes,
        parameters=row.parameters,
        description=row.description,
        created_at=row.created_at,
    )
