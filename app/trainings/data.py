"""Where data sets lie on this machine, and their download from their official address."""

import os
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

if TYPE_CHECKING:
    from models.episodes import TaskDistribution

OMNIGLOT_ADDRESS = "https://github.com/brendenlake/omniglot/raw/master/python/"
OMNIGLOT_ARCHIVES = ("images_background.zip", "images_evaluation.zip")


def cache_folder() -> Path:
    """Where downloaded and shrunken data are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fewstep"


def data_folder(distribution: str, given: Path | None) -> Path | None:
    """The folder with a distribution's data: the given one, FEWSTEP_OMNIGLOT's, or a download."""
    if distribution != "omniglot":
        return given
    named = os.environ.get("FEWSTEP_OMNIGLOT")
    if given or named:
        return given or Path(str(named))
    folder = cache_folder() / "omniglot"
    for name in OMNIGLOT_ARCHIVES:
        try:
            _download(OMNIGLOT_ADDRESS + name, folder / name)
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
    from app.checkpoints.registry import committed_folder

    committed = committed_folder()
    path = committed / f"{name}.safetensors"
    path = path if path.is_file() else Path(name)
    if not path.is_file():
        known = sorted(committed.rglob("*.safetensors"))
        names = ", ".join(str(file.relative_to(committed).with_suffix("")) for file in known)
        raise FileNotFoundError(f"no file {name}; committed checkpoints are {names}")
    return path


def open_data(config: dict[str, Any], given: Path | None) -> "TaskDistribution":
    """A recipe's task distribution, its data found (or fetched), read and kept, with progress.

    Raises ValueError and FileNotFoundError with what a person can mend.
    """
    from models.distributions import open_distribution

    folder = data_folder(config["name"], given)
    with Progress(transient=True, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"reading {config['name']}", total=None)
        return open_distribution(
            config, folder=folder, cache=cache_folder(), progress=lambda n: bar.advance(task, n)
        )


def _download(address: str, target: Path) -> None:
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with urllib.request.urlopen(address, timeout=60) as answer, Progress() as progress:
        task = progress.add_task(target.name, total=int(answer.headers.get("Content-Length", 0)))
        with partial.open("wb") as file:
            while block := answer.read(1 << 16):
                file.write(block)
                progress.advance(task, len(block))
    partial.replace(target)
