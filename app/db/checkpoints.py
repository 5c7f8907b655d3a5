"""The rows of checkpoints: immutable versions under a name, by digest."""

from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from cachetools import LRUCache
from sqlalchemy import (
    Connection,
    FromClause,
    Row,
    Select,
    and_,
    bindparam,
    case,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from app.db.connections import now_s
from app.db.tables import adaptations
from app.db.tables import checkpoint_aliases as aliases
from app.db.tables import checkpoints as t
from app.db.tenants import ensure_tenant, lock_tenant
from app.values.checkpoint import CheckpointRef, CheckpointRow
from app.values.description import Description, read_description
from app.values.lifecycle import Status
from app.values.tenants import SHARED

DESCRIPTIONS_KEPT: Final = 64
LISTED: Final = 100  # versions in a part of the list
NAMES_LISTED: Final = 1000
DEFAULT_ALIAS: Final = "default"

Place = tuple[str, int, bool]  # of a version in the list: name, number, whether it is a shared one
KEY: Final = (t.c.tenant_id, t.c.name, t.c.version)
ORDER: Final = (t.c.name, t.c.version.desc(), t.c.tenant_id == SHARED)


def _visible(tenant_id: Any) -> ColumnElement[bool]:
    return and_(or_(t.c.tenant_id == tenant_id, t.c.tenant_id == SHARED), t.c.deleted_at.is_(None))


def _default_first(tenant_id: Any, name: Any) -> ColumnElement[int]:
    """Orders the version that the tenant's alias ``default`` stands for before all others."""
    of = aliases.c
    chosen = select(of.version).where(
        of.tenant_id == tenant_id, of.name == name, of.alias == DEFAULT_ALIAS
    )
    return case((t.c.version == chosen.scalar_subquery(), 0), else_=1)


# Built once, and without the description, which is some kilobytes of JSON.
FIND: Final = (
    select(*(column for column in t.c if column is not t.c.description))
    .where(_visible(bindparam("of_tenant")), t.c.name == bindparam("of_name"))
    .order_by(
        _default_first(bindparam("of_tenant"), bindparam("of_name")),
        t.c.tenant_id == SHARED,
        t.c.version.desc(),
    )
    .limit(1)
)
FIND_PINNED: Final = FIND.where(t.c.version == bindparam("of_version"))

_described: LRUCache[str, Description] = LRUCache(DESCRIPTIONS_KEPT)
_lock = Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Consecutive versions of a list, and the place of the last one where more follow."""

    rows: list[CheckpointRow]
    end: Place | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Width:
    """How many classes what a name stands for can carry; meant only for tasks with classes."""

    name: str
    task: str
    max_way: int


def add_version(
    connection: Connection,
    tenant_id: str,
    digest: str,
    size: int,
    parameters: int,
    description: dict[str, Any],
) -> tuple[CheckpointRow, bool]:
    """The version that this digest already has under its name, also where it was deleted, or the
    next one; and whether there was none.
    """
    ensure_tenant(connection, tenant_id)
    lock_tenant(connection, tenant_id)  # or two at once would take the same number
    name = description["name"]
    mine = (t.c.tenant_id == tenant_id, t.c.name == name)
    found = connection.execute(select(t).where(*mine, t.c.digest == digest)).one_or_none()
    if found and found.deleted_at is not None:
        again = update(t).where(*mine, t.c.digest == digest).values(deleted_at=None)
        connection.execute(again)
    if found:
        row = _row(found, read_description(found.description))
        return row, found.deleted_at is not None
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
    added = connection.execute(statement.returning(t)).one()
    return _row(added, read_description(description)), True


def find_version(
    connection: Connection, tenant_id: str, name: str, version: int | None
) -> CheckpointRow | None:
    """The tenant's own version, else the shared one; where none is asked for the one that its alias
    ``default`` stands for, else the newest.
    """
    asked = {"of_tenant": tenant_id, "of_name": name, "of_version": version}
    row = connection.execute(FIND if version is None else FIND_PINNED, asked).one_or_none()
    return _row(row, _description(connection, row)) if row else None


def list_versions(
    connection: Connection, tenant_id: str, *, after: Place | None = None, limit: int = LISTED
) -> Part:
    """The versions that a tenant can use, by name, newest first, its own before a shared one: so
    many of them, from the beginning or from those after a place.
    """
    rest = _visible(tenant_id) if after is None else and_(_visible(tenant_id), _after(*after))
    rank = func.row_number().over(order_by=ORDER).label("rank")
    # Keys first, for a database that sorts whole rows would read every description. All in one
    # statement, or what is added between two would be left out.
    ahead = select(*KEY, rank).where(rest).order_by(*ORDER).limit(limit + 1).cte("ahead")
    more = select(func.count() > limit).select_from(ahead).scalar_subquery().label("more")
    listed = and_(_same_key(ahead), ahead.c.rank <= limit)
    query = select(t, more).join(ahead, listed).order_by(ahead.c.rank)
    found = connection.execute(query).all()
    rows = [_row(row, read_description(row.description)) for row in found]
    if not found or not found[-1].more:
        return Part(rows=rows, end=None)
    last = rows[-1].ref
    return Part(rows=rows, end=(last.name, last.version, last.tenant_id == SHARED))


def list_newest(
    connection: Connection, tenant_id: str, *, limit: int = NAMES_LISTED
) -> list[CheckpointRef]:
    """What each name stands for, by name, without descriptions."""
    query = _standing(tenant_id, *KEY, t.c.digest).limit(limit)
    return [CheckpointRef(**row._mapping) for row in connection.execute(query)]


def list_widths(
    connection: Connection, tenant_id: str, *, limit: int = NAMES_LISTED
) -> list[Width]:
    """How wide what each name stands for is, by name; read inside the database."""
    task = t.c.description["task"].as_string().label("task")
    max_way = t.c.description["max_way"].as_integer().label("max_way")
    query = _standing(tenant_id, t.c.name, task, max_way).limit(limit)
    return [Width(**row._mapping) for row in connection.execute(query)]


def _after(name: str, version: int, is_shared: bool) -> ColumnElement[bool]:
    """The condition that a row stands after this place in ORDER."""
    older = t.c.version < version
    same = and_(t.c.version == version, t.c.tenant_id == SHARED)
    return or_(t.c.name > name, and_(t.c.name == name, older if is_shared else or_(older, same)))


def _standing(tenant_id: str, *columns: ColumnElement[Any]) -> Select[Any]:
    """These columns of what each name stands for: own before shared, newest before old."""
    own_and_newest = (t.c.tenant_id == SHARED, t.c.version.desc())
    rank = func.row_number().over(partition_by=t.c.name, order_by=own_and_newest).label("rank")
    ranked = select(*KEY, rank).where(_visible(tenant_id)).subquery()
    first = and_(ranked.c.rank == 1, _same_key(ranked))
    return select(*columns).select_from(t).join(ranked, first).order_by(t.c.name)


def _same_key(keys: FromClause) -> ColumnElement[bool]:
    return and_(*(column == keys.c[column.name] for column in KEY))


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


def delete_version(connection: Connection, tenant_id: str, name: str, version: int) -> bool:
    """Ends a tenant's version, whose number is never given twice; False where there is none."""
    same = (t.c.tenant_id == tenant_id, t.c.name == name, t.c.version == version)
    statement = update(t).where(*same, t.c.deleted_at.is_(None)).values(deleted_at=now_s())
    return connection.execute(statement).rowcount == 1


def uses_of(connection: Connection, ref: CheckpointRef) -> str | None:
    """What still needs a tenant's own version, in words; None: nothing."""
    named = (aliases.c.tenant_id == ref.tenant_id, aliases.c.name == ref.name)
    alias = select(aliases.c.alias).where(*named, aliases.c.version == ref.version).limit(1)
    found = connection.execute(alias).scalar()
    if found is not None:
        return "an alias stands for it"
    a = adaptations.c
    lives = or_(a.expires_at.is_(None), a.expires_at > now_s())
    needs = and_(
        a.checkpoint_tenant_id == ref.tenant_id,
        a.checkpoint_name == ref.name,
        a.checkpoint_version == ref.version,
        or_(
            a.status.in_([Status.QUEUED, Status.RUNNING]),
            and_(a.status == Status.SUCCEEDED, lives),
        ),
    )
    used = select(a.id).where(a.tenant_id == ref.tenant_id, needs).limit(1)
    return None if connection.execute(used).first() is None else "adaptations still live from it"
