"""Task distributions by the name that a recipe gives them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.episodes import TaskDistribution
from models.tasks.omniglot import PREPROCESSING, load_omniglot
from models.tasks.sinusoid import Sinusoids

INPUT_PREPROCESSING: dict[str, dict[str, Any] | None] = {
    "omniglot": PREPROCESSING,
    "sinusoid": None,
}


def open_distribution(
    config: dict[str, Any],
    *,
    folder: Path | None,
    cache: Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> TaskDistribution:
    """The task distribution of a recipe's table; ``folder`` holds its data where it has any.

    Raises ValueError for an unknown name, FileNotFoundError where data are missing.
    """
    if config["name"] == "sinusoid":
        return Sinusoids()
    if config["name"] != "omniglot":
        raise ValueError(f"unknown task distribution {config['name']!r}")
    if folder is None:
        raise FileNotFoundError("omniglot: expected a folder with its two zips")
    distort = float(config.get("distort", 0))
    return load_omniglot(folder, cache=cache, distort=distort, progress=progress)
