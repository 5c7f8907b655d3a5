"""A tenant's webhook secret while it is exchanged: the new one, and the one before for a day."""

from dataclasses import dataclass, field
from typing import Final

BOTH_S: Final = 24 * 3600  # how long messages are signed with both


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSecret:
    """since: seconds since 1970; before None: nothing but ``current`` signs."""

    current: str = field(repr=False)
    since: float
    before: str | None = field(repr=False)

    @property
    def signing(self) -> tuple[str, ...]:
        """The secrets that sign a message now, the newest first."""
        return (self.current,) if self.before is None else (self.current, self.before)
