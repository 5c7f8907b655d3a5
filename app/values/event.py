"""What happened to an adaptation: one event for each of its transitions, numbered from one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """kind: the status that it came to, or what else was done. at: seconds since 1970."""

    number: int
    kind: str
    detail: Mapping[str, Any]
    at: float
