"""What an adaptation can be, and which change follows which. Every status change passes
``advance``.

queued ─► running ─► succeeded ─► expired
   │         │           └─► failed (its parameters were lost for good)
   │         ├─────► failed ─► expired
   │         └─► queued (its worker was lost, or the store was away)
   └──► cancelled ◄──┘
"""

from enum import StrEnum


class Status(StrEnum):
    """Where an adaptation stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.EXPIRED})
CHANGES = frozenset(
    {
        (Status.QUEUED, Status.RUNNING),
        (Status.QUEUED, Status.CANCELLED),
        (Status.RUNNING, Status.SUCCEEDED),
        (Status.RUNNING, Status.FAILED),
        (Status.RUNNING, Status.QUEUED),
        (Status.RUNNING, Status.CANCELLED),
        (Status.SUCCEEDED, Status.EXPIRED),
        (Status.SUCCEEDED, Status.FAILED),
        (Status.FAILED, Status.EXPIRED),
    }
)


class ForbiddenChange(RuntimeError):
    """A change of status that the lifecycle does not know: our own mistake, never the caller's."""


def advance(status: Status, to: Status) -> Status:
    """``to``, where the lifecycle allows it after ``status``. Raises ForbiddenChange."""
    if (status, to) not in CHANGES:
        raise ForbiddenChange(f"{status} cannot become {to}")
    return to
