"""``fewstep train``: a recipe becomes a checkpoint; stopped at any moment it goes on where it
was.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from app.cli.errors import in_one_line
from app.cli.learning.bars import bars
from app.trainings.order import TrainingOrder
from app.trainings.running import run_training
from app.values.progress import Progress, Stopped

INTERRUPTED = 130  # what a shell says of a command that Ctrl-C ended


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
    """Runs a training with bars, in a process that keeps the memory it freed; Ctrl-C ends it
    between two outer steps, and a second one at once.
    """
    from worker.allocator import keep_freed_memory

    keep_freed_memory()
    with bars() as shown, stopping_at_signals(shown.progress):
        try:
            return run_training(order, progress=shown.progress, say=shown.say)
        except Stopped as stopped:
            raise typer.Exit(INTERRUPTED) from stopped
        except KeyboardInterrupt:
            shown.say("stopped at once; the same command goes on from the last minute")
            raise typer.Exit(INTERRUPTED) from None


@contextmanager
def stopping_at_signals(progress: Progress) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM tells the progress to stop; the next one is as usual."""
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in usual.items():
            signal.signal(number, handler)

    def stop(number: int, frame: object) -> None:
        restore()
        typer.echo("stopping; Ctrl-C again does not wait for the step to end", err=True)
        progress.stop(signal.Signals(number).name)

    for number in usual:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()
