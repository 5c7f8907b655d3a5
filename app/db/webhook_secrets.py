"""The secret that a tenant's webhooks are signed with, and for a day the one before."""

from sqlalchemy import Connection, and_, or_, select, update

from app.db.connections import now_s
from app.db.tables import tenants as t
from app.db.tenants import ensure_tenant
from app.values.webhook_secret import BOTH_S, WebhookSecret


def find_secret(connection: Connection, tenant_id: str) -> WebhookSecret | None:
    """The tenant's secret now; None before it was ever needed."""
    query = select(t.c.webhook_secret, t.c.webhook_secret_before, t.c.webhook_secret_since, now_s())
    row = connection.execute(query.where(t.c.id == tenant_id)).one_or_none()
    if row is None or row[0] is None:
        return None
    current, before, since, now = row
    counts = before is not None and now < since + BOTH_S
    return WebhookSecret(current=current, since=since, before=before if counts else None)


def set_first_secret(connection: Connection, tenant_id: str, secret: str) -> None:
    """The tenant's first secret, unless it has one by now."""
    ensure_tenant(connection, tenant_id)
    first = and_(t.c.id == tenant_id, t.c.webhook_secret.is_(None))
    values = {"webhook_secret": secret, "webhook_secret_since": now_s()}
    connection.execute(update(t).where(first).values(**values))


def rotate_secret(connection: Connection, tenant_id: str, secret: str) -> bool:
    """A new secret beside the one of now, which goes on signing for a while; False as long as the
    one before still does.
    """
    free = or_(t.c.webhook_secret_before.is_(None), t.c.webhook_secret_since <= now_s() - BOTH_S)
    mine = and_(t.c.id == tenant_id, t.c.webhook_secret.is_not(None), free)
    values = {
        "webhook_secret_before": t.c.webhook_secret,
        "webhook_secret": secret,
        "webhook_secret_since": now_s(),
    }
    return connection.execute(update(t).where(mine).values(**values)).rowcount == 1
