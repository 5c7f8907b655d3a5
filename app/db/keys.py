"""API keys: 256 random bits, shown once, kept as their SHA-256.

The entropy makes a slow hash needless; looking up by hash leaves nothing to time.
"""

import hashlib
import math
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, false, func, insert, or_, select, update

from app.db.connections import insert_missing, now_s, reading, writing
from app.db.tables import api_keys as t
from app.db.tenants import ensure_tenant
from app.values.adaptation import new_id
from app.values.caller import Caller
from app.values.lasting import Lasting
from app.values.tenants import DEFAULT, RESERVED, refuse_reserved

PREFIX, LEAST_CHARACTERS = "fs_", 32
NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """What may be shown of a key after its creation. Times: seconds since 1970."""

    id: str
    tenant_id: str
    name: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    is_expired: bool


def create_key(
    connection: Connection, *, tenant_id: str, name: str, lifetime_s: float | None = None
) -> str:
    """A new key's secret; it is nowhere to be had again. Raises ValueError: a reserved tenant."""
    refuse_reserved(tenant_id)
    secret = PREFIX + secrets.token_urlsafe(32)
    ensure_tenant(connection, tenant_id)
    values = _values(secret, tenant_id=tenant_id, name=name, lifetime_s=lifetime_s)
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
        select(t.c.tenant_id, t.c.id, left_s)
        .where(allowed)
        .where(t.c.secret_sha256 == key_hash, *live)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    caller = Caller(tenant_id=row.tenant_id, key_id=row.id)
    return Lasting(value=caller, left_s=math.inf if row.left_s is None else row.left_s)


def list_keys(connection: Connection) -> list[KeyRow]:
    """All keys, oldest first."""
    columns = (t.c.id, t.c.tenant_id, t.c.name, t.c.created_at, t.c.expires_at, t.c.revoked_at)
    is_expired = func.coalesce(t.c.expires_at <= now_s(), false()).label("is_expired")
    query = select(*columns, is_expired).order_by(t.c.created_at)
    return [KeyRow(**row._mapping) for row in connection.execute(query)]


def revoke_key(connection: Connection, key_id: str) -> bool:
    """Ends a key; False where there is no live one of this id."""
    live = (t.c.id == key_id, t.c.revoked_at.is_(None))
    return connection.execute(update(t).where(*live).values(revoked_at=now_s())).rowcount == 1


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
