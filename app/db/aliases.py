"""Aliases of checkpoints: a name of a tenant's own for a version that it can use."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, select, update

from app.db.connections import insert_missing, now_s
from app.db.tables import checkpoint_aliases as t
from app.db.tenants import ensure_tenant


def find_alias(connection: Connection, tenant_id: str, name: str, alias: str) -> int | None:
    """The version that a tenant's alias stands for."""
    return connection.execute(select(t.c.version).where(_is(tenant_id, name, alias))).scalar()


def put_alias(connection: Connection, tenant_id: str, name: str, alias: str, version: int) -> bool:
    """Has the alias stand for this version; whether it is new."""
    ensure_tenant(connection, tenant_id)
    values = {"version": version, "updated_at": now_s()}
    changed = update(t).where(_is(tenant_id, name, alias)).values(**values)
    if connection.execute(changed).rowcount == 1:
        return False
    key = {"tenant_id": tenant_id, "name": name, "alias": alias}
    connection.execute(insert_missing(connection, t).values(**key, **values))
    return True


def remove_alias(connection: Connection, tenant_id: str, name: str, alias: str) -> bool:
    """Ends an alias; False where there is none."""
    return connection.execute(delete(t).where(_is(tenant_id, name, alias))).rowcount == 1


def aliases_of(
    connection: Connection, tenant_id: str, names: Sequence[str]
) -> dict[tuple[str, int], list[str]]:
    """A tenant's aliases by name and version, in the order of the alphabet."""
    query = select(t.c.name, t.c.version, t.c.alias).where(
        t.c.tenant_id == tenant_id, t.c.name.in_(names)
    )
    found: dict[tuple[str, int], list[str]] = {}
    for row in connection.execute(query.order_by(t.c.alias)):
        found.setdefault((row.name, row.version), []).append(row.alias)
    return found


def _is(tenant_id: str, name: str, alias: str) -> Any:
    return and_(t.c.tenant_id == tenant_id, t.c.name == name, t.c.alias == alias)
