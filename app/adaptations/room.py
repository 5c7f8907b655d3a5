"""Whether another adaptation may be queued: the queue has an end, and so may a tenant's share."""

from app.backends import Backends
from app.db.connections import reading
from app.db.counting import count_up_to
from app.errors import ServiceError
from app.values.lifecycle import Status


def check_room(backends: Backends, tenant_id: str, at_once: int | None, *, more: int = 1) -> None:
    """Raises ServiceError: queue-full where so many more would be beyond the queue's end,
    rate-limited where they would be beyond what the tenant may have queued and running.
    """
    limit = backends.settings.queue_limit
    with reading(backends.engine) as connection:
        queued = count_up_to(connection, limit, [Status.QUEUED])
        if queued + more > limit:
            raise ServiceError("queue-full", f"expected at most {limit} in the queue; try later")
        if at_once is None:
            return
        going_on = [Status.QUEUED, Status.RUNNING]
        mine = count_up_to(connection, at_once, going_on, tenant_id=tenant_id)
    if mine + more > at_once:
        detail = f"expected at most {at_once} adaptations at once of this tenant; wait for some"
        raise ServiceError("rate-limited", detail)
