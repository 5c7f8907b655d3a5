"""How much a tenant may ask of the service."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """requests_per_minute: over all its keys; adaptations_at_once: queued and running; None: as
    many as it likes.
    """

    requests_per_minute: int | None = None
    adaptations_at_once: int | None = None

    def with_own(self, own: Mapping[str, Any] | None) -> "Quota":
        """The same with what a tenant has of its own in place of what all have."""
        return replace(self, **(own or {}))
