"""What is said of the inner loop that validation chose."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.learner import Learner
    from models.meta_training.choosing import Choice, Tried


def chosen_in_words(learner: "Learner", choice: "Choice") -> str:
    """One line: what is taken by default, and what the other ways gave."""
    what, taken = learner.kind.score_name, choice.taken
    shots = " and ".join(str(shot) for shot in choice.shots)
    rest = ", ".join(f"{one.mean:.4f} by {_way(one)}" for one in choice.tried if one != taken)
    return (
        f"by default a support set is adapted to by {_way(taken)}: validation {what} "
        f"{taken.mean:.4f}{', ' if rest else ''}{rest} ({shots} shot)"
    )


def _way(tried: "Tried") -> str:
    from models.learner import CLOSED_FORMS

    if tried.adapts in CLOSED_FORMS:
        return str(tried.adapts)
    if tried.steps == 0:
        return "no step"
    return f"{tried.steps} steps of {tried.step_size:g}"
