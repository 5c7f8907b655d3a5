"""Where data sets lie on this machine, and their download from their official address."""

import os
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.checkpoints.registry import committed_folder
from app.values.progress import Progress, Reached

if TYPE_CHECKING:
    from models.episodes import TaskDistribution
    from models.files.checkpoint import Checkpoint

OMNIGLOT_ADDRESS = "https://github.com/brendenlake/omniglot/raw/master/python/"
CHOSEN = ("invert", "preparation", "stroke")  # of pictures, by their own look
NUMBERS = {"kind": "numbers", "missing": None, "categories": None}  # none missing, and no names
OMNIGLOT_ARCHIVES = ("images_background.zip", "images_evaluation.zip")


def cache_folder() -> Path:
    """Where downloaded and shrunken data are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fewstep"


def data_folder(distribution: str, given: Path | None, progress: Progress) -> Path | None:
    """The folder with a distribution's data: the given one, FEWSTEP_OMNIGLOT's, or a download."""
    if distribution != "omniglot":
        return given
    named = os.environ.get("FEWSTEP_OMNIGLOT")
    if given or named:
        return given or Path(str(named))
    folder = cache_folder() / "omniglot"
    for name in OMNIGLOT_ARCHIVES:
        try:
            _download(OMNIGLOT_ADDRESS + name, folder / name, progress)
        except OSError as error:
            raise FileNotFoundError(
                f"{name} cannot be fetched from {OMNIGLOT_ADDRESS}: {error}; give its folder with "
                "--data or FEWSTEP_OMNIGLOT"
            ) from error
    return folder


def checkpoint_file(name: str) -> Path:
    """A .safetensors file, or the committed one of this name.

    Raises FileNotFoundError where there is none.
    """
    committed = committed_folder()
    path = committed / f"{name}.safetensors"
    path = path if path.is_file() else Path(name)
    if not path.is_file():
        known = sorted(committed.rglob("*.safetensors"))
        names = ", ".join(str(file.relative_to(committed).with_suffix("")) for file in known)
        raise FileNotFoundError(f"no file {name}; committed checkpoints are {names}")
    return path


def open_data(config: dict[str, Any], given: Path | None, progress: Progress) -> "TaskDistribution":
    """A recipe's task distribution, its data found (or fetched), read and kept.

    Raises ValueError and FileNotFoundError with what a person can mend.
    """
    from models.tasks.opening import open_distribution

    folder = data_folder(config["name"], given, progress)
    read = 0

    def moved(examples: int) -> None:
        nonlocal read
        read += examples
        progress.moved(Reached(activity="reading", subject=config["name"], done=read, total=None))

    moved(0)
    return open_distribution(config, folder=folder, cache=cache_folder(), progress=moved)


def trained_on(loaded: "Checkpoint", purpose: str) -> dict[str, Any]:
    """The recipe that a checkpoint was trained by; what was chosen by its training pictures is in
    its distribution's table, not what other pictures would have.

    Raises ValueError for imported weights, which have none to ``purpose`` them on.
    """
    recipe: dict[str, Any] | None = loaded.provenance.get("recipe")
    if recipe is None:
        raise ValueError(f"{loaded.name} was imported; nothing says what to {purpose} it on")
    table: dict[str, Any] = recipe["distribution"]
    if table["name"] == "pictures" and loaded.preprocessing is not None:
        known = {key: loaded.preprocessing[key] for key in CHOSEN if key in loaded.preprocessing}
        table = {key: value for key, value in table.items() if key not in CHOSEN} | known
    if table["name"] == "features":
        table = table | {"preprocessing": loaded.preprocessing or NUMBERS}
    return recipe | {"distribution": table}


def _download(address: str, target: Path, progress: Progress) -> None:
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with urllib.request.urlopen(address, timeout=60) as answer, partial.open("wb") as file:
        fetched = Reached(
            activity="fetching",
            subject=target.name,
            done=0,
            total=int(answer.headers.get("Content-Length", 0)),
        )
        progress.moved(fetched)
        while block := answer.read(1 << 16):
            file.write(block)
            progress.moved(replace(fetched, done=file.tell()))
    partial.replace(target)
