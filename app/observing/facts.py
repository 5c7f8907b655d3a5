"""What the database knows by itself: values that are read, not counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MOST_COUNTED: Final = 100_000  # of one status, so that looking costs the same whatever is kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """adaptations: their number by status, each up to MOST_COUNTED; oldest_waiting_s: age of the
    adaptation that waits longest, 0 where none does; workers: those that live, by device.
    """

    adaptations: Mapping[str, int]
    oldest_waiting_s: float
    workers: Mapping[str, int]
