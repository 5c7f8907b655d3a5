"""What came of an adaptation: whether it has a result, and what happens where that is damaged."""

from app.backends import Backends
from app.errors import ServiceError
from app.values.adaptation import Adaptation
from app.values.lifecycle import Status


def check_ended_well(one: Adaptation) -> None:
    """Raises ServiceError where an adaptation has no result (yet, or no more)."""
    if one.status in (Status.QUEUED, Status.RUNNING):
        raise ServiceError("not-ready", f"the adaptation is {one.status}", retry_after_s=1)
    if one.status is Status.CANCELLED:
        raise ServiceError("adaptation-failed", "the adaptation was cancelled")
    if one.status is Status.FAILED:
        code = (one.error or {}).get("code", "internal")
        raise ServiceError("adaptation-failed", f"the adaptation failed: {code}")
    if one.status is Status.EXPIRED:
        raise ServiceError("expired", "the adaptation's time to live has passed")


def damaged(backends: Backends, one: Adaptation) -> ServiceError:
    """Has an adaptation's parameters derived again; the refusal to give meanwhile."""
    backends.queue.repair(one.id)
    detail = "the stored parameters failed their check and are being derived again"
    return ServiceError("damaged", detail, retry_after_s=1)
