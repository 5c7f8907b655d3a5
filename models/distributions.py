"""Task distributions by the name that a recipe gives them; more through entry points.

An installed package adds one under the group ``fewstep.tasks``: a callable with the signature of
``Opener``, named as recipes name it.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from models.episodes import TaskDistribution
from models.tasks.omniglot import load_omniglot
from models.tasks.sinusoid import Sinusoids

GROUP = "fewstep.tasks"


class Opener(Protocol):
    """Opens a distribution: its recipe's table without the name, its data folder where it has one,
    a folder to keep compact copies in, and a callable that is told of every example read.

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


def _omniglot(
    config: Mapping[str, Any],
    *,
    folder: Path | None,
    cache: Path | None,
    progress: Callable[[int], None],
) -> TaskDistribution:
    if folder is None:
        raise FileNotFoundError("omniglot: expected a folder with its two zips")
    return load_omniglot(folder, cache=cache, progress=progress, **config)


OPENERS: Mapping[str, Opener] = {"sinusoid": _sinusoid, "omniglot": _omniglot}
