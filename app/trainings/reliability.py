"""How far a classifier's answers can be relied on: calibrated at the end of a training, measured on
test episodes, and said in words.
"""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from app.values.progress import Progress, Reached

if TYPE_CHECKING:
    from models.episodes import EpisodeShape, TaskDistribution
    from models.files.checkpoint import Checkpoint
    from models.learner import InnerLoop
    from models.measuring.reliability import Reliability

EPISODES: Final = 100
QUERIES: Final = 5  # of a class
SEED: Final = 601
KEY: Final = "reliability"


def calibrated(
    checkpoint: "Checkpoint",
    distribution: "TaskDistribution",
    shape: "EpisodeShape",
    progress: Progress,
) -> "Checkpoint":
    """The checkpoint with a calibration by validation classes, and its reliability on test classes
    beside its first score; as it was where its kind of task has no classes, or its queries would
    see each other.

    shape: of its validation episodes.
    """
    from models.measuring.calibrating import calibrate_answers

    if checkpoint.learner.normalisation != "support":
        return checkpoint
    done = 0

    def moved() -> None:
        nonlocal done
        done += 1
        told = Reached(activity="choosing", subject="a calibration", done=done, total=None)
        progress.moved(told)

    with_it = calibrate_answers(checkpoint, distribution, shape, progress=moved)
    found = reliability_of(with_it, with_it.recipe, distribution, shape)
    if found is None or not with_it.evaluation:
        return with_it
    first, *others = with_it.evaluation
    return replace(with_it, evaluation=[first | {KEY: measured_of(found)}, *others])


def reliability_of(
    checkpoint: "Checkpoint",
    recipe: "InnerLoop",
    distribution: "TaskDistribution",
    shape: "EpisodeShape",
    episodes: int = EPISODES,
) -> "Reliability | None":
    """On test episodes, at most ``EPISODES``; None of a kind of task without classes."""
    from models.measuring.reliability import measure_reliability

    return measure_reliability(
        checkpoint.learner,
        checkpoint.meta,
        recipe,
        distribution,
        split="test",
        shape=replace(shape, query=min(shape.query, QUERIES)),
        episodes=min(episodes, EPISODES),
        seed=SEED,
    )


def measured_of(found: "Reliability") -> dict[str, Any]:
    """What was measured of it, to four digits."""
    return {
        name: round(value, 4) for name, value in asdict(found).items() if isinstance(value, float)
    }


def in_words(found: "Reliability | None") -> list[str]:
    """One line, or none where nothing was measured."""
    if found is None:
        return []
    said = [f"expected calibration error {found.calibration_error:.2%}"]
    if found.novelty_auroc is not None:
        said.append(f"novelty of other classes: AUROC {found.novelty_auroc:.4f}")
    if found.caught is not None:
        said.append(f"{found.caught:.1%} of them rejected")
    if found.false_alarms is not None:
        said.append(f"{found.false_alarms:.1%} false alarms")
    return [", ".join(said)]
