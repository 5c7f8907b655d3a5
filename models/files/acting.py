"""What a policy's checkpoint says of the environment that it acts in, read as strictly as the rest
of the file.
"""

import sys
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

LONGEST: Final = 1_000_000  # of an episode's steps
MOST_WORDS: Final = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """How a policy acts and is adapted.

    actions: ``continuous``, A numbers of which −1 to 1 are scaled to ``low`` … ``high`` and cut
    there; or ``discrete``, one of A choices, without bounds. max_episode_steps: an episode that is
    cut off there has ended; step_sizes: of the first round, the second, and so on, the last one
    from there on; episodes: how many a round should have; dt: seconds of a step; environment: in
    words.
    """

    actions: Literal["continuous", "discrete"]
    low: tuple[float, ...]
    high: tuple[float, ...]
    max_episode_steps: int
    gamma: float
    gae_lambda: float
    step_sizes: tuple[float, ...]
    episodes: int
    dt: float
    environment: str

    def step_size(self, round_: int) -> float:
        """Of a round, which counts from 1."""
        return self.step_sizes[min(round_, len(self.step_sizes)) - 1]


def read_acting(table: Any, actions: int) -> Acting:
    """What ``asdict`` gave, of a policy with so many numbers, or choices, of an action.

    Raises ValueError, TypeError or KeyError for anything else.
    """
    if not isinstance(table, dict) or set(table) != {part.name for part in fields(Acting)}:
        names = ", ".join(part.name for part in fields(Acting))
        raise ValueError(f"policy: expected exactly {names}")
    lists = {name: tuple(table[name]) for name in ("low", "high", "step_sizes")}
    found = Acting(**table | lists)
    _check_bounds(found, actions)
    _check_numbers(found)
    return found


def _check_bounds(found: Acting, actions: int) -> None:
    if found.actions not in ("continuous", "discrete"):
        raise ValueError("policy: expected continuous or discrete actions")
    wanted = actions if found.actions == "continuous" else 0
    if (len(found.low), len(found.high)) != (wanted, wanted):
        raise ValueError(f"policy: expected {wanted} bounds low and as many high")
    pairs = zip(found.low, found.high, strict=True)
    if not all(_is_number(a) and _is_number(b) and a < b for a, b in pairs):
        raise ValueError("policy: expected finite bounds, low below high")


def _check_numbers(found: Acting) -> None:
    if not found.step_sizes or not all(_is_number(size) and size > 0 for size in found.step_sizes):
        raise ValueError("policy: expected step_sizes above 0, at least one")
    for name in ("gamma", "gae_lambda"):
        if not _is_number(getattr(found, name)) or not 0 <= getattr(found, name) <= 1:
            raise ValueError(f"policy: expected {name} from 0 to 1")
    for name, most in (("max_episode_steps", LONGEST), ("episodes", LONGEST)):
        value = getattr(found, name)
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError(f"policy: expected {name} from 1 to {most}")
    if not _is_number(found.dt) or found.dt <= 0:
        raise ValueError("policy: expected a dt above 0")
    if not isinstance(found.environment, str) or len(found.environment) > MOST_WORDS:
        raise ValueError(f"policy: expected an environment in at most {MOST_WORDS} characters")


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or type(value) is bool:
        return False
    return abs(value) <= sys.float_info.max  # math.isfinite fails for longer integers
