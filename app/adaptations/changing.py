"""What a caller changes of an adaptation that is there: row before message, as everywhere."""

from collections.abc import Mapping
from typing import Any

from app.adaptations.finding import find_adaptation
from app.backends import Backends
from app.db import changing
from app.db.connections import writing
from app.errors import ServiceError
from app.messages.news import tell_changed
from app.messages.stopping import mark_stopped
from app.values.adaptation import Adaptation
from app.values.lifecycle import Status


def change_adaptation(
    backends: Backends, tenant_id: str, adaptation_id: str, values: Mapping[str, Any]
) -> Adaptation:
    """The adaptation with another name, metadata or time to live, those that are given.

    Raises ServiceError: not-found, expired.
    """
    if values:
        with writing(backends.engine) as connection:
            changed = changing.change(connection, tenant_id, adaptation_id, values)
        if changed:
            tell_changed(backends.queue.redis, [adaptation_id])  # its end may be another
    found = find_adaptation(backends, tenant_id, adaptation_id)
    if found.status is Status.EXPIRED:
        raise ServiceError("expired", "the adaptation's time to live has passed")
    return found


def cancel_adaptation(backends: Backends, tenant_id: str, adaptation_id: str) -> Adaptation:
    """The adaptation, cancelled; whoever works on it stops between two steps.

    Raises ServiceError: not-found, conflict where it ended otherwise before.
    """
    with writing(backends.engine) as connection:
        cancelled = changing.cancel(connection, tenant_id, adaptation_id)
    if cancelled:
        _stop(backends, adaptation_id)
    found = find_adaptation(backends, tenant_id, adaptation_id)
    if found.status is not Status.CANCELLED:
        detail = f"expected an adaptation that is queued or running, got one that is {found.status}"
        raise ServiceError("conflict", detail)
    return found


def delete_adaptation(backends: Backends, tenant_id: str, adaptation_id: str) -> None:
    """Has the adaptation be no more, wherever it stands. Raises ServiceError not-found."""
    with writing(backends.engine) as connection:
        removed = changing.remove(connection, tenant_id, adaptation_id)
    if not removed:
        raise ServiceError("not-found", "there is no such adaptation")
    _stop(backends, adaptation_id)


def _stop(backends: Backends, adaptation_id: str) -> None:
    mark_stopped(backends.queue.redis, [adaptation_id])
    tell_changed(backends.queue.redis, [adaptation_id])
