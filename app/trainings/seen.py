"""Which of the classes that a checkpoint is measured on it has met in training."""

from typing import TYPE_CHECKING, Any

from app.trainings.data import checkpoint_file
from app.trainings.runs import Run

if TYPE_CHECKING:
    from models.episodes import TaskDistribution
    from models.files.checkpoint import Checkpoint

KEY = "trained_classes"
MOST_KEPT = 1000  # classes that a file names; data of more are known by their digest alone
MOST_SAID = 10


def trained_classes(run: Run) -> dict[str, dict[str, str]]:
    """What a file keeps of the classes that its θ was trained and chosen on, those of the
    checkpoint it started from among them: their names by a digest of their examples.
    """
    from models.episodes import Recalling

    if not isinstance(run.distribution, Recalling):
        return {}
    kept = _of_start(run.recipe.start)
    for split in ("train", "validation"):
        kept |= {content: name for name, content in run.distribution.contents(split).items()}
    return {KEY: kept} if len(kept) <= MOST_KEPT else {}


def seen_in_training(loaded: "Checkpoint", distribution: "TaskDistribution") -> list[str] | None:
    """The measured classes that the checkpoint was trained on, by their name or, whatever their
    name, by their examples; None where its file does not say. A number is no name: other data
    number other classes.
    """
    from models.episodes import Recalling

    data: dict[str, Any] = loaded.provenance.get("data") or {}
    if not isinstance(distribution, Recalling):
        return []
    trained = data.get(KEY)
    if trained is None:
        return [] if data.get("digest") == distribution.describe().get("digest") else None
    names = {name for name in trained.values() if not name.isdecimal()}
    measured = distribution.contents("test").items()
    return [name for name, content in measured if content in trained or name in names]


def in_words(seen: list[str] | None) -> list[str]:
    """A warning where the measured classes are, or may be, no new ones."""
    if seen is None:
        return ["warning: the file does not say whether it was trained on any of these classes"]
    if not seen:
        return []
    more = f" and {len(seen) - MOST_SAID} more" if len(seen) > MOST_SAID else ""
    return [
        f"warning: of the measured classes it was trained on {', '.join(seen[:MOST_SAID])}{more}; "
        "this is no score on new classes"
    ]


def _of_start(name: str | None) -> dict[str, str]:
    from models.files.checkpoint import read_metadata

    if name is None:
        return {}
    made = read_metadata(checkpoint_file(name).read_bytes())["provenance"]
    return dict((made.get("data") or {}).get(KEY, {}))
