"""Tenants as the operator looks after them, and as their own administrators see them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.backends import Backends
from app.db.connections import reading, writing
from app.db.idempotency import find_replay, keep_key
from app.db.keys import revoke_all
from app.db.tenants import (
    Place,
    TenantRow,
    change_tenant,
    ensure_tenant,
    find_tenant,
    list_tenants,
    mark_deleted,
)
from app.errors import ServiceError, other_content
from app.messages.news import tell_keys_changed
from app.values.caller import Caller
from app.values.tenants import DEFAULT, RESERVED

__all__ = [
    "Place",
    "TenantOrder",
    "TenantRow",
    "add_tenant",
    "delete_tenant",
    "tenant_of",
    "tenants_of",
    "update_tenant",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantOrder:
    """values: ``limits`` and ``support_retention_seconds``, those that are given."""

    id: str
    values: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    fingerprint: str = ""


def add_tenant(backends: Backends, caller: Caller, order: TenantOrder) -> tuple[TenantRow, bool]:
    """A new tenant, and whether it was made before under the same idempotency key.

    Raises ServiceError: forbidden but for the operator, conflict where there is one of this id, or
    it is still being deleted, idempotency-mismatch.
    """
    _check_operator(caller)
    if _is_replayed(backends, caller, order):
        return tenant_of(backends, caller, order.id), True
    try:
        with writing(backends.engine) as connection:
            _add(connection, caller, order)
    except IntegrityError:
        if not _is_replayed(backends, caller, order):
            raise
        return tenant_of(backends, caller, order.id), True
    return tenant_of(backends, caller, order.id), False


def tenants_of(
    backends: Backends, caller: Caller, *, after: Place | None, limit: int
) -> tuple[list[TenantRow], Place | None]:
    """So many tenants by id; and the place of the last one where there are more.

    Raises ServiceError forbidden but for the operator.
    """
    _check_operator(caller)
    with reading(backends.engine) as connection:
        rows = list_tenants(connection, after=after, limit=limit + 1)
    return rows[:limit], (rows[limit - 1].id,) if len(rows) > limit else None


def tenant_of(backends: Backends, caller: Caller, tenant_id: str) -> TenantRow:
    """The caller's own tenant, or for the operator any. Raises ServiceError not-found."""
    row = None
    if caller.is_operator or tenant_id == caller.tenant_id:
        with reading(backends.engine) as connection:
            row = find_tenant(connection, tenant_id)
    if row is None or row.deleted_at is not None or row.id in RESERVED:
        raise ServiceError("not-found", "there is no such tenant")
    return row


def update_tenant(
    backends: Backends, caller: Caller, tenant_id: str, values: Mapping[str, Any]
) -> TenantRow:
    """The tenant with other limits or another retention, those that are given.

    Raises ServiceError: not-found, forbidden but for the operator.
    """
    tenant_of(backends, caller, tenant_id)
    _check_operator(caller)
    if values:
        with writing(backends.engine) as connection:
            change_tenant(connection, tenant_id, values)
        tell_keys_changed(backends.queue.redis)  # who is remembered with its limits
    return tenant_of(backends, caller, tenant_id)


def delete_tenant(backends: Backends, caller: Caller, tenant_id: str) -> None:
    """Ends a tenant: none of its keys works from now on, and the sweeper removes all it had.

    Raises ServiceError: not-found, forbidden but for the operator, conflict for the operator's own.
    """
    tenant_of(backends, caller, tenant_id)
    _check_operator(caller)
    if tenant_id == DEFAULT:
        raise ServiceError("conflict", "the operator's own tenant stays")
    with writing(backends.engine) as connection:
        mark_deleted(connection, tenant_id)
        revoke_all(connection, tenant_id)
    tell_keys_changed(backends.queue.redis)


def _add(connection: Connection, caller: Caller, order: TenantOrder) -> None:
    if not ensure_tenant(connection, order.id):
        found = find_tenant(connection, order.id)
        ending = found is not None and found.deleted_at is not None
        detail = "it is still being deleted; try again later" if ending else "it is there already"
        raise ServiceError("conflict", f"expected the id of a new tenant, got one: {detail}")
    if order.values:
        change_tenant(connection, order.id, order.values)
    if order.idempotency_key is not None:
        keep_key(
            connection,
            caller.tenant_id,
            key=order.idempotency_key,
            fingerprint=order.fingerprint,
            made={"tenant": order.id},
        )


def _is_replayed(backends: Backends, caller: Caller, order: TenantOrder) -> bool:
    if order.idempotency_key is None:
        return False
    with reading(backends.engine) as connection:
        kept = find_replay(connection, caller.tenant_id, order.idempotency_key)
    if kept is not None and kept.fingerprint != order.fingerprint:
        raise other_content()
    return kept is not None


def _check_operator(caller: Caller) -> None:
    if not caller.is_operator:
        raise ServiceError("forbidden", "expected the operator's key, got another tenant's")
