"""``fewstep train``: a recipe becomes a checkpoint; stopped at any moment it goes on where it
was.
"""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.errors import in_one_line
from app.cli.learning.bars import bars
from app.trainings.running import TrainingOrder, run_training


def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a .toml file.")],
    name: Annotated[str | None, typer.Option(help="The checkpoint's name; the recipe's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run (runs/NAME).")] = None,
    data: Annotated[Path | None, typer.Option(help="The data set: its folder or file.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads, 0: all.")] = 0,
    stop_after: Annotated[int, typer.Option(help="Outer steps in this call, 0: all.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Meta-trains a checkpoint: progress, a JSONL log, a resumable state and a picture of the
    curve.
    """
    order = TrainingOrder(
        recipe=recipe,
        name=name,
        folder=out,
        data=data,
        threads=threads,
        device=device,
        stop_after=stop_after,
    )
    with in_one_line(ValueError, OSError):
        train_on_console(order)


def train_on_console(order: TrainingOrder) -> Path | None:
    """Runs a training with bars, in a process that keeps the memory it freed."""
    from worker.allocator import keep_freed_memory

    keep_freed_memory()
    with bars() as shown:
        return run_training(order, progress=shown.progress, say=shown.say)
