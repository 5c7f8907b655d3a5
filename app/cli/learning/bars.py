"""How far a training has come, as bars on the console."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from app.values.progress import Activity, Progress, Reached


class Bars:
    """One bar at a time: a new piece of work, or a sentence, closes the last one's."""

    def __init__(self) -> None:
        self.progress = Progress(show=self._show)
        self._piece: tuple[Activity, str] | None = None
        self._bar, self._task = RichProgress(), TaskID(0)

    def say(self, sentence: str) -> None:
        """Writes a line to standard output."""
        self.close()
        typer.echo(sentence)

    def close(self) -> None:
        """Leaves the bar as it stands."""
        if self._piece is not None:
            self._bar.stop()
        self._piece = None

    def _show(self, reached: Reached) -> None:
        piece = (reached.activity, reached.subject)
        if self._piece == piece:
            described = _described(reached)
            self._bar.update(self._task, completed=reached.done, description=described)
            return
        self.close()
        self._piece, self._bar = piece, _new_bar(reached.activity)
        self._bar.start()
        self._task = self._bar.add_task(
            _described(reached), total=reached.total, completed=reached.done
        )


@contextmanager
def bars() -> Iterator[Bars]:
    """Bars that end with the block."""
    shown = Bars()
    try:
        yield shown
    finally:
        shown.close()


def _described(reached: Reached) -> str:
    verb = "reading " if reached.activity == "reading" else ""
    return f"{verb}{reached.subject} {reached.detail}".rstrip()


def _new_bar(activity: Activity) -> RichProgress:
    if activity == "reading":
        return RichProgress(transient=True, console=Console(stderr=True))
    if activity == "training":
        described, steps = (
            TextColumn("{task.description}"),
            TextColumn("{task.completed}/{task.total}"),
        )
        return RichProgress(described, BarColumn(), steps, TimeRemainingColumn())
    return RichProgress()
