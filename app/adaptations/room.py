"""Whether another adaptation may be queued: the queue has an end, and so may a tenant's share."""

from dataclasses import dataclass

from app.backends import Backends, check_free_space
from app.db.connections import reading
from app.db.counting import count_up_to
from app.errors import ServiceError
from app.values.lifecycle import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What waits now, and how much may: in the queue, and of one tenant queued and running.

    at_once None: its tenant may have as many as there are.
    """

    queued: int
    queue_limit: int
    mine: int
    at_once: int | None

    def check(self, more: int) -> None:
        """Raises ServiceError: queue-full where so many more would be beyond the queue's end,
        rate-limited where they would be beyond the tenant's share.
        """
        if self.queued + more > self.queue_limit:
            detail = f"expected at most {self.queue_limit} in the queue; try later"
            raise ServiceError("queue-full", detail)
        if self.at_once is not None and self.mine + more > self.at_once:
            detail = f"expected at most {self.at_once} adaptations at once of this tenant"
            raise ServiceError("rate-limited", f"{detail}; wait for some")


def room_of(backends: Backends, tenant_id: str, at_once: int | None) -> Room:
    """The room that there is for this tenant's adaptations now.

    Raises ServiceError where there is none for their blobs.
    """
    check_free_space(backends)
    limit, mine = backends.settings.queue_limit, 0
    with reading(backends.engine) as connection:
        queued = count_up_to(connection, limit, [Status.QUEUED])
        if at_once is not None:
            going_on = [Status.QUEUED, Status.RUNNING]
            mine = count_up_to(connection, at_once, going_on, tenant_id=tenant_id)
    return Room(queued=queued, queue_limit=limit, mine=mine, at_once=at_once)
