"""Idempotency keys: which adaptation a request that is sent again leads to. Kept for 24 h."""

from sqlalchemy import Connection, and_, delete, insert, select

from app.db.connections import now_s
from app.db.tables import idempotency_keys
from app.values.adaptation import NewAdaptation

KEY_KEPT_S = 24 * 3600


def find_replay(connection: Connection, tenant_id: str, key: str) -> tuple[str, str] | None:
    """The fingerprint and the adaptation's id that this idempotency key stands for."""
    k = idempotency_keys.c
    query = select(k.fingerprint, k.adaptation_id).where(k.tenant_id == tenant_id, k.key == key)
    row = connection.execute(query.where(k.created_at > now_s() - KEY_KEPT_S)).one_or_none()
    return (row.fingerprint, row.adaptation_id) if row else None


def keep_key(connection: Connection, new: NewAdaptation, *, key: str, fingerprint: str) -> None:
    """Binds an idempotency key to a new row, in the row's own transaction.

    Raises sqlalchemy.exc.IntegrityError where another transaction was first.
    """
    k = idempotency_keys
    same = and_(k.c.tenant_id == new.tenant_id, k.c.key == key)
    connection.execute(k.delete().where(same, k.c.created_at <= now_s() - KEY_KEPT_S))
    connection.execute(
        insert(k).values(
            tenant_id=new.tenant_id,
            key=key,
            fingerprint=fingerprint,
            adaptation_id=new.id,
            created_at=now_s(),
        )
    )


def forget_keys(connection: Connection) -> int:
    """Removes the keys whose time is over; how many those were."""
    k = idempotency_keys
    return connection.execute(delete(k).where(k.c.created_at <= now_s() - KEY_KEPT_S)).rowcount
