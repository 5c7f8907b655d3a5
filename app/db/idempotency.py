"""Idempotency keys: what a request that is sent again leads to. Kept for 24 h."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select

from app.db.connections import now_s
from app.db.tables import idempotency_keys

KEY_KEPT_S = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What an idempotency key stands for: an adaptation, or what else the request made, as its own
    room wrote it down.
    """

    fingerprint: str
    adaptation_id: str | None
    made: Mapping[str, Any] | None


def find_replay(connection: Connection, tenant_id: str, key: str) -> Kept | None:
    """What this idempotency key stands for."""
    k = idempotency_keys.c
    query = select(k.fingerprint, k.adaptation_id, k.made).where(
        k.tenant_id == tenant_id, k.key == key
    )
    row = connection.execute(query.where(k.created_at > now_s() - KEY_KEPT_S)).one_or_none()
    return Kept(**row._mapping) if row else None


def keep_key(
    connection: Connection,
    tenant_id: str,
    *,
    key: str,
    fingerprint: str,
    adaptation_id: str | None = None,
    made: Mapping[str, Any] | None = None,
) -> None:
    """Binds an idempotency key to what a request made, in that row's own transaction.

    Raises sqlalchemy.exc.IntegrityError where another transaction was first.
    """
    k = idempotency_keys
    same = and_(k.c.tenant_id == tenant_id, k.c.key == key)
    connection.execute(k.delete().where(same, k.c.created_at <= now_s() - KEY_KEPT_S))
    connection.execute(
        insert(k).values(
            tenant_id=tenant_id,
            key=key,
            fingerprint=fingerprint,
            adaptation_id=adaptation_id,
            made=None if made is None else dict(made),
            created_at=now_s(),
        )
    )


def forget_keys(connection: Connection) -> int:
    """Removes the keys whose time is over; how many those were."""
    k = idempotency_keys
    return connection.execute(delete(k).where(k.c.created_at <= now_s() - KEY_KEPT_S)).rowcount
