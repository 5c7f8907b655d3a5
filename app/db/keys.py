"""API keys: 256 random bits, shown once, kept as their SHA-256.

The entropy makes a slow hash needless; looking up by hash leaves nothing to time.
"""

import hashlib
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    false,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from app.db.connections import insert_missing, now_s, reading, writing
from app.db.tables import api_keys as t
from app.db.tables import tenants
from app.db.tenants import ensure_tenant, is_deleted
from app.values.adaptation import new_id
from app.values.caller import Caller, Scope
from app.values.lasting import Lasting
from app.values.tenants import DEFAULT, RESERVED, refuse_reserved

Place = tuple[float, str]  # created_at and id of the last one before

PREFIX, LEAST_CHARACTERS = "fs_", 32
NAME_CHARACTERS = 200
LISTED: Final = select(
    t.c.id,
    t.c.tenant_id,
    t.c.name,
    t.c.scopes,
    t.c.created_at,
    t.c.expires_at,
    t.c.revoked_at,
    func.coalesce(t.c.expires_at <= now_s(), false()).label("is_expired"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """What may be shown of a key after its creation. Times: seconds since 1970."""

    id: str
    tenant_id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    is_expired: bool


def create_key(
    connection: Connection,
    *,
    tenant_id: str,
    name: str,
    lifetime_s: float | None = None,
    scopes: Sequence[Scope] = tuple(Scope),
    key_id: str | None = None,
) -> str:
    """A new key's secret; it is nowhere to be had again. Raises ValueError: a reserved tenant, or
    one that is being deleted.
    """
    refuse_reserved(tenant_id)
    secret = PREFIX + secrets.token_urlsafe(32)
    ensure_tenant(connection, tenant_id)
    if is_deleted(connection, tenant_id):
        raise ValueError(f"the tenant {tenant_id!r} is being deleted; choose another")
    values = _values(secret, tenant_id=tenant_id, name=name, lifetime_s=lifetime_s)
    values |= {"scopes": [scope.value for scope in scopes]}
    values |= {"id": key_id} if key_id is not None else {}
    connection.execute(insert(t).values(values))
    return secret


def ensure_bootstrap_key(engine: Engine, secret: str) -> None:
    """Makes the operator's own secret a key of the default tenant, once.

    Raises ValueError where it is too easy to guess.
    """
    if not secret.startswith(PREFIX) or len(secret) < LEAST_CHARACTERS:
        raise ValueError(
            f"FEWSTEP_BOOTSTRAP_KEY: expected {PREFIX} and at least {LEAST_CHARACTERS - 3} random "
            "characters, for example from: echo fs_$(openssl rand -hex 32)"
        )
    values = _values(secret, tenant_id=DEFAULT, name="bootstrap", lifetime_s=None)
    with writing(engine) as connection:
        ensure_tenant(connection, DEFAULT)
        connection.execute(insert_missing(connection, t).values(values))


def any_key(engine: Engine) -> bool:
    """Whether a key was ever created: from then on every request needs one."""
    with reading(engine) as connection:
        return has_keys(connection)


def has_keys(connection: Connection) -> bool:
    return connection.execute(select(t.c.id).limit(1)).first() is not None


def find_caller(connection: Connection, key_hash: str) -> Lasting[Caller] | None:
    """Whom a live key stands for, and how long it lives; None for an unknown, expired or revoked
    one.
    """
    left_s = (t.c.expires_at - now_s()).label("left_s")
    live = (t.c.revoked_at.is_(None), or_(t.c.expires_at.is_(None), t.c.expires_at > now_s()))
    allowed = t.c.tenant_id.not_in(RESERVED)  # a key may have been made before that was refused
    query = (
        select(t.c.tenant_id, t.c.id, t.c.scopes, tenants.c.limits, left_s)
        .join(tenants, tenants.c.id == t.c.tenant_id)
        .where(allowed, tenants.c.deleted_at.is_(None))
        .where(t.c.secret_sha256 == key_hash, *live)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    caller = Caller(
        tenant_id=row.tenant_id,
        key_id=row.id,
        scopes=frozenset(_scopes(row.scopes)),
        limits=row.limits or {},
    )
    return Lasting(value=caller, left_s=math.inf if row.left_s is None else row.left_s)


def list_keys(
    connection: Connection,
    tenant_id: str | None = None,
    *,
    after: Place | None = None,
    limit: int | None = None,
) -> list[KeyRow]:
    """The keys of a tenant, or of all, oldest first: so many, from the first or after a place."""
    query = LISTED.order_by(t.c.created_at, t.c.id).limit(limit)
    if tenant_id is not None:
        query = query.where(t.c.tenant_id == tenant_id)
    if after is not None:
        query = query.where(tuple_(t.c.created_at, t.c.id) > after)
    return [_key_row(row) for row in connection.execute(query)]


def find_key(connection: Connection, key_id: str) -> KeyRow | None:
    """The key of this id, whosever it is."""
    row = connection.execute(LISTED.where(t.c.id == key_id)).one_or_none()
    return None if row is None else _key_row(row)


def revoke_key(connection: Connection, key_id: str) -> bool:
    """Ends a key; False where there is no live one of this id."""
    live = (t.c.id == key_id, t.c.revoked_at.is_(None))
    return connection.execute(update(t).where(*live).values(revoked_at=now_s())).rowcount == 1


def revoke_all(connection: Connection, tenant_id: str) -> None:
    """Ends every key of a tenant."""
    live = (t.c.tenant_id == tenant_id, t.c.revoked_at.is_(None))
    connection.execute(update(t).where(*live).values(revoked_at=now_s()))


def _key_row(row: Row[Any]) -> KeyRow:
    return KeyRow(**{**row._mapping, "scopes": _scopes(row.scopes)})


def _scopes(kept: Sequence[str] | None) -> tuple[Scope, ...]:
    """In the order of their list; all for a key of before there were any."""
    return tuple(scope for scope in Scope if kept is None or scope in kept)


def _values(secret: str, *, tenant_id: str, name: str, lifetime_s: float | None) -> dict[str, Any]:
    return {
        "id": new_id("key"),
        "tenant_id": tenant_id,
        "name": name,
        "secret_sha256": hash_of(secret),
        "created_at": now_s(),
        "expires_at": None if lifetime_s is None else now_s() + lifetime_s,
    }


def hash_of(secret: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()
