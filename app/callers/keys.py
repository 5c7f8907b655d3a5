"""Keys as an administrator makes, lists and ends them: of its own tenant, or, where it is the
operator, of any.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.backends import Backends
from app.db.connections import reading, writing
from app.db.idempotency import find_replay, keep_key
from app.db.keys import (
    KeyRow,
    Place,
    create_key,
    find_key,
    has_keys,
    list_keys,
    revoke_key,
)
from app.errors import ServiceError, other_content, refusal
from app.messages.news import tell_keys_changed
from app.values.adaptation import new_id
from app.values.caller import Caller, Scope

__all__ = ["KeyOrder", "KeyRow", "Place", "end_key", "key_of", "keys_of", "make_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOrder:
    """tenant_id None: the caller's own; lifetime_s None: for ever; idempotency_key and fingerprint
    as of an adaptation.
    """

    name: str
    scopes: Sequence[Scope]
    lifetime_s: float | None = None
    tenant_id: str | None = None
    idempotency_key: str | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeKey:
    """secret None: it was made before, under the same idempotency key, and shown then."""

    row: KeyRow
    secret: str | None


def make_key(backends: Backends, caller: Caller, order: KeyOrder) -> MadeKey:
    """A new key, whose secret is nowhere to be had again.

    Raises ServiceError: forbidden for a scope that the caller lacks and for another tenant,
    validation for a tenant that cannot have any, conflict for a first key that nobody could
    administer with, idempotency-mismatch.
    """
    replayed = _replayed(backends, caller, order)
    if replayed:
        return replayed
    tenant_id = caller.tenant_id if order.tenant_id is None else order.tenant_id
    if tenant_id != caller.tenant_id and not caller.is_operator:
        raise ServiceError("forbidden", "expected the key's own tenant, got another")
    if not set(order.scopes) <= caller.scopes:
        raise ServiceError("forbidden", "expected scopes that the key has itself, got others")
    key_id = new_id("key")
    try:
        secret = _create(backends, caller, order, tenant_id, key_id)
    except IntegrityError:
        first = _replayed(backends, caller, order)
        if first is None:
            raise
        return first
    tell_keys_changed(backends.queue.redis)
    with reading(backends.engine) as connection:
        row = find_key(connection, key_id)
    assert row is not None, "it was committed"
    return MadeKey(row=row, secret=secret)


def keys_of(
    backends: Backends, caller: Caller, *, after: Place | None, limit: int
) -> tuple[list[KeyRow], Place | None]:
    """So many keys of the caller's tenant, oldest first; and the place of the last one where there
    are more.
    """
    with reading(backends.engine) as connection:
        rows = list_keys(connection, caller.tenant_id, after=after, limit=limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    return rows[:limit], None if last is None else (last.created_at, last.id)


def key_of(backends: Backends, caller: Caller, key_id: str) -> KeyRow:
    """A key of the caller's tenant, or for the operator of any. Raises ServiceError not-found."""
    with reading(backends.engine) as connection:
        row = find_key(connection, key_id)
    if row is None or (row.tenant_id != caller.tenant_id and not caller.is_operator):
        raise ServiceError("not-found", "there is no such key")
    return row


def end_key(backends: Backends, caller: Caller, key_id: str) -> None:
    """Revokes a key at once.

    Raises ServiceError: not-found, also where it was revoked before; conflict for the last one that
    could make another of its tenant.
    """
    row = key_of(backends, caller, key_id)
    with writing(backends.engine) as connection:
        if row.tenant_id == caller.tenant_id and _is_last_admin(connection, row):
            detail = "this is the last key with the scope admin; make another one first"
            raise ServiceError("conflict", detail)
        ended = revoke_key(connection, key_id)
    if not ended:
        raise ServiceError("not-found", "there is no such key")
    tell_keys_changed(backends.queue.redis)


def _create(
    backends: Backends, caller: Caller, order: KeyOrder, tenant_id: str, key_id: str
) -> str:
    with writing(backends.engine) as connection:
        if not has_keys(connection) and Scope.ADMIN not in order.scopes:
            detail = "the first key turns keys on for everybody: give it the scope admin"
            raise ServiceError("conflict", detail)
        if order.idempotency_key is not None:
            keep_key(
                connection,
                caller.tenant_id,
                key=order.idempotency_key,
                fingerprint=order.fingerprint,
                made={"key": key_id},
            )
        try:
            return create_key(
                connection,
                tenant_id=tenant_id,
                name=order.name,
                lifetime_s=order.lifetime_s,
                scopes=order.scopes,
                key_id=key_id,
            )
        except ValueError as error:
            raise refusal("validation", "/tenant", str(error)) from error


def _replayed(backends: Backends, caller: Caller, order: KeyOrder) -> MadeKey | None:
    if order.idempotency_key is None:
        return None
    with reading(backends.engine) as connection:
        kept = find_replay(connection, caller.tenant_id, order.idempotency_key)
        made = kept.made.get("key") if kept and kept.made else None
        row = find_key(connection, made) if made else None
    if kept is None:
        return None
    if kept.fingerprint != order.fingerprint or row is None:
        raise other_content()
    return MadeKey(row=row, secret=None)


def _is_last_admin(connection: Connection, row: KeyRow) -> bool:
    def administers(one: KeyRow) -> bool:
        return one.revoked_at is None and not one.is_expired and Scope.ADMIN in one.scopes

    others = (one for one in list_keys(connection, row.tenant_id) if one.id != row.id)
    return administers(row) and not any(administers(one) for one in others)
