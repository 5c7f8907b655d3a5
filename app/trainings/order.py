"""What is to be trained, and who hears of it in sentences."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOrder:
    """What is to be trained, where, and how far.

    recipe: a shipped recipe's name or a .toml file; name: the checkpoint's, else the recipe's;
    folder: of the run, else ``runs/NAME``, of a shipped recipe the name it was given by, as
    ``runs/paper/sinusoid``; data: the data set's folder or file; threads 0: as many as torch takes
    by itself; stop_after and seconds: how many outer steps, and how long, this call
    trains (0: to the end); unfinished: a checkpoint is published where the run stands, too.
    """

    recipe: str
    name: str | None = None
    folder: Path | None = None
    data: Path | None = None
    threads: int = 0
    device: str = "cpu"
    stop_after: int = 0
    seconds: float = 0
    unfinished: bool = False
