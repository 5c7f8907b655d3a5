"""Task distributions by the name that a recipe gives them; more through entry points.

An installed package adds one under the group ``fewstep.tasks``: a callable with the signature of
``Opener``, named as recipes name it.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from models.episodes import TaskDistribution
from models.tasks.features import load_features
from models.tasks.miniimagenet import load_miniimagenet
from models.tasks.omniglot import load_omniglot
from models.tasks.pictures import load_pictures
from models.tasks.series import load_series
from models.tasks.sinusoid import Sinusoids

GROUP = "fewstep.tasks"


class Opener(Protocol):
    """Opens a distribution: its recipe's table without the name, its data folder (or file) where it
    has one, a folder to keep compact copies in, and a callable that is told of every example read.

    Raises FileNotFoundError where data are missing, ValueError where they are not as expected.
    """

    def __call__(
        self,
        config: Mapping[str, Any],
        *,
        folder: Path | None,
        cache: Path | None,
        progress: Callable[[int], None],
    ) -> TaskDistribution: ...


def open_distribution(
    config: Mapping[str, Any],
    *,
    folder: Path | None,
    cache: Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> TaskDistribution:
    """The task distribution of a recipe's table; ``folder`` holds its data where it has any.

    Raises ValueError for an unknown name or setting, FileNotFoundError where data are missing.
    """
    name = config["name"]
    settings = {key: value for key, value in config.items() if key != "name"}
    try:
        return _opener(name)(settings, folder=folder, cache=cache, progress=progress)
    except TypeError as error:
        raise ValueError(f"task distribution {name!r}: {error}") from error


def _opener(name: str) -> Opener:
    if name in OPENERS:
        return OPENERS[name]
    added = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in added:
        known = ", ".join(sorted({*OPENERS, *added}))
        raise ValueError(f"unknown task distribution {name!r}, expected one of {known}")
    opener: Opener = added[name].load()
    return opener


def _sinusoid(
    config: Mapping[str, Any],
    *,
    folder: Path | None,
    cache: Path | None,
    progress: Callable[[int], None],
) -> TaskDistribution:
    return Sinusoids(**config)


def _from(load: Callable[..., TaskDistribution], expected: str) -> Opener:
    """The opener of a data set that lies somewhere; expected: what has to be there."""

    def opened(
        config: Mapping[str, Any],
        *,
        folder: Path | None,
        cache: Path | None,
        progress: Callable[[int], None],
    ) -> TaskDistribution:
        if folder is None:
            raise FileNotFoundError(f"expected {expected}; name it with --data")
        return load(folder, cache=cache, progress=progress, **config)

    return opened


OPENERS: Mapping[str, Opener] = {
    "sinusoid": _sinusoid,
    "omniglot": _from(load_omniglot, "a folder with the two zips of Omniglot"),
    "miniimagenet": _from(load_miniimagenet, "a folder with train.csv, val.csv, test.csv, images/"),
    "pictures": _from(load_pictures, "a folder with a folder of pictures for each class"),
    "features": _from(load_features, "an .npz file with the arrays x and y"),
    "series": _from(load_series, "an .npz file with the arrays x and y"),
}
