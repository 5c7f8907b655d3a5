"""Kinds of adaptation: what of a model moves, or in which closed form its head is fitted.

It knows no mathematics; which of them a checkpoint offers is its kind of task's to say
(``app/kinds.py``).
"""

from dataclasses import dataclass
from typing import Final

ALL: Final = "all"
WEIGHTS: Final = "weights"
HEAD: Final = "head"
KERNEL: Final = "kernel"
BAYESIAN: Final = "bayesian"
AUTO: Final = "auto"
UNADAPTED: Final = "unadapted"
RECIPE: Final = "recipe"  # of rows that say nothing: as their checkpoint's recipe has it

CLOSED_FORMS: Final = (KERNEL, BAYESIAN)

HEAD_STEPS_A_PASS: Final = 100  # a step of the head against a forward of conv4: 1 to 1,000
EXAMPLES_A_PASS: Final = 500  # of a closed form, whose work grows with their cube


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a support set is adapted to. step_size None: learned ones, the longest safe one of the
    head, or none at all.
    """

    adapts: str
    steps: int
    step_size: float | None


def passes(adapts: str, steps: int, examples: int) -> int:
    """How many times every support example goes through the network, or what takes as long."""
    if adapts == HEAD:
        return 1 + -(-steps // HEAD_STEPS_A_PASS)
    if adapts in CLOSED_FORMS:
        return 1 + -(-(examples**2) // EXAMPLES_A_PASS**2) * min(steps, 1)
    return steps + 1
