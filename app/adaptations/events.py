"""What happened to a tenant's adaptation, as a list in parts and as it comes."""

from dataclasses import dataclass

from app.backends import Backends
from app.db.connections import reading
from app.db.deliveries import list_deliveries
from app.db.events import events_after
from app.db.lookups import find_status
from app.errors import ServiceError
from app.values.delivery import Delivery
from app.values.event import Event
from app.values.lifecycle import FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The events that followed a number; is_over: none is waited for after them."""

    events: list[Event]
    is_over: bool


def list_events(
    backends: Backends, tenant_id: str, adaptation_id: str, *, after: int, limit: int
) -> tuple[list[Event], bool]:
    """Up to ``limit`` events that follow a number, oldest first, and whether there are more.

    Raises ServiceError ``not-found``, the same for another tenant's.
    """
    with reading(backends.engine) as connection:
        if find_status(connection, tenant_id, adaptation_id) is None:
            raise _not_found()
        found = events_after(connection, adaptation_id, after, limit=limit + 1)
    return found[:limit], len(found) > limit


def follow_events(backends: Backends, tenant_id: str, adaptation_id: str, after: int) -> Standing:
    """The events that follow a number, by now. Raises ServiceError ``not-found`` likewise."""
    with reading(backends.engine) as connection:
        # In this order: the event of a status that is seen is seen as well.
        status = find_status(connection, tenant_id, adaptation_id)
        if status is None:
            raise _not_found()
        found = events_after(connection, adaptation_id, after)
    is_over = status in FINAL or any(event.kind in FINAL for event in found)
    return Standing(events=found, is_over=is_over)


def deliveries_of(backends: Backends, tenant_id: str, adaptation_id: str) -> list[Delivery]:
    """What the adaptation's webhook was told or is to be told. Raises ServiceError ``not-found``
    likewise.
    """
    with reading(backends.engine) as connection:
        if find_status(connection, tenant_id, adaptation_id) is None:
            raise _not_found()
        return list_deliveries(connection, adaptation_id)


def _not_found() -> ServiceError:
    return ServiceError("not-found", "there is no such adaptation")
