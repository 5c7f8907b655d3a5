"""The secret of a tenant's webhooks, made when it is first needed."""

from app.backends import Backends
from app.db.connections import reading, writing
from app.db.webhook_secrets import find_secret, rotate_secret, set_first_secret
from app.errors import ServiceError
from app.values.signing import new_secret
from app.values.webhook_secret import WebhookSecret


def webhook_secret(backends: Backends, tenant_id: str) -> WebhookSecret:
    """The tenant's secret as it is now."""
    with reading(backends.engine) as connection:
        found = find_secret(connection, tenant_id)
    if found is not None:
        return found
    with writing(backends.engine) as connection:
        set_first_secret(connection, tenant_id, new_secret())
        first = find_secret(connection, tenant_id)
    assert first is not None
    return first


def rotate_webhook_secret(backends: Backends, tenant_id: str) -> WebhookSecret:
    """A new secret beside the one of now. Raises ServiceError ``conflict`` while the one before
    that still signs, so that a rotation that is sent twice loses none.
    """
    webhook_secret(backends, tenant_id)
    with writing(backends.engine) as connection:
        rotated = rotate_secret(connection, tenant_id, new_secret())
        now = find_secret(connection, tenant_id)
    if not rotated:
        detail = "the secret was exchanged within the last day, and the one before still signs"
        raise ServiceError("conflict", detail)
    assert now is not None
    return now
