"""What came of an adaptation: whether it has a result, and what happens where that is damaged."""

from app.backends import Backends
from app.errors import ServiceError
from app.values.adaptation import Adaptation
from app.values.lifecycle import Status


def check_ended_well(adaptation: Adaptation) -> None:
    """Raises ServiceError where an adaptation has no result (yet, or no more)."""
    if adaptation.status in (Status.QUEUED, Status.RUNNING):
        raise ServiceError("not-ready", f"the adaptation is {adaptation.status}", retry_after_s=1)
    if adaptation.status is Status.CANCELLED:
        raise ServiceError("adaptation-failed", "the adaptation was cancelled")
    if adaptation.status is Status.FAILED:
        code = (adaptation.error or {}).get("code", "internal")
        raise ServiceError("adaptation-failed", f"the adaptation failed: {code}")
    if adaptation.status is Status.EXPIRED:
        raise ServiceError("expired", "the adaptation's time to live has passed")


def damaged(backends: Backends, adaptation: Adaptation) -> ServiceError:
    """Has an adaptation's parameters derived again; the refusal to give meanwhile."""
    backends.queue.repair(adaptation.id)
    detail = "the stored parameters failed their check and are being derived again"
    return ServiceError("damaged", detail, retry_after_s=1)
