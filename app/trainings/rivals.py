"""What is said of the simplest methods beside a checkpoint's score."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.learner import Learner
    from models.measuring.evaluation import Evaluation


def in_words(
    learner: "Learner", measured: "Evaluation", rivals: "Mapping[str, Evaluation]"
) -> list[str]:
    """The rivals' scores in one line, and a warning in another where any of them is better."""
    from models.measuring.rivals import UNADAPTED, better_rivals

    each = ", ".join(f"{n} {rival.mean:.4f} ± {rival.ci95:.4f}" for n, rival in rivals.items())
    lines = [f"beside it, on the same episodes: {each}"]
    better = better_rivals(learner, measured, rivals)
    if UNADAPTED in better:
        lines.append("warning: the inner steps do harm here; adapt with steps = 0")
    simple = [name for name in better if name != UNADAPTED]
    if simple:
        lines.append(
            f"warning: {' and '.join(simple)} did better; you may not need this checkpoint"
        )
    return lines
