"""Which adaptations a list is of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.values.lifecycle import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """status, checkpoint name and version: None for all; metadata: strings that all must have."""

    status: Status | None = None
    checkpoint_name: str | None = None
    checkpoint_version: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
