"""How far a training has come: as bars on a terminal, elsewhere as a line every half minute."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from app.values.progress import Activity, Progress, Reached

LINE_EVERY_S = 30.0
QUIET: tuple[Activity, ...] = ("reading", "choosing")  # their end is no news


class DetailBelow(RichProgress):
    """A bar with the detail of its task in a line below it."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if task.fields["detail"]:
                yield Text(f"  {task.fields['detail']}")


class Bars:
    """One bar at a time: a new piece of work, or a sentence, closes the last one's."""

    def __init__(self) -> None:
        self.progress = Progress(show=self._show)
        self._piece: tuple[Activity, str] | None = None
        self._bar, self._task = DetailBelow(), TaskID(0)

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
            self._bar.update(self._task, completed=reached.done, detail=reached.detail)
            return
        self.close()
        self._piece, self._bar = piece, _new_bar(reached.activity)
        self._bar.start()
        self._task = self._bar.add_task(
            _named(reached), total=reached.total, completed=reached.done, detail=reached.detail
        )


class Lines:
    """The same where nobody sees bars move: a line every half minute, and one where a piece of work
    ends. clock: in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.progress = Progress(show=self._show)
        self._clock = clock
        self._written_at = clock()
        self._last: Reached | None = None

    def say(self, sentence: str) -> None:
        """Writes a line to standard output."""
        self.close()
        typer.echo(sentence)

    def close(self) -> None:
        """Writes where the piece of work stands that was last heard of."""
        if self._last is not None and self._last.activity not in QUIET:
            self._write(self._last)
        self._last = None

    def _show(self, reached: Reached) -> None:
        last, self._last = self._last, None
        if last is not None and (last.activity, last.subject) != (
            reached.activity,
            reached.subject,
        ):
            self._last = last
            self.close()
        if self._clock() - self._written_at >= LINE_EVERY_S:
            self._write(reached)
        else:
            self._last = reached

    def _write(self, reached: Reached) -> None:
        self._written_at = self._clock()
        of = "" if reached.total is None else f"/{reached.total}"
        described = f"{_named(reached)} {reached.done}{of}"
        typer.echo(f"{described}: {reached.detail}" if reached.detail else described)


@contextmanager
def bars() -> Iterator[Bars | Lines]:
    """Bars on a terminal, lines elsewhere, that end with the block."""
    shown = Bars() if Console().is_terminal else Lines()
    try:
        yield shown
    finally:
        shown.close()


def _named(reached: Reached) -> str:
    verb = f"{reached.activity} " if reached.activity in QUIET else ""
    return f"{verb}{reached.subject}"


def _new_bar(activity: Activity) -> DetailBelow:
    if activity in QUIET:
        return DetailBelow(transient=True, console=Console(stderr=True))
    if activity == "training":
        described, steps = (
            TextColumn("{task.description}"),
            TextColumn("{task.completed}/{task.total}"),
        )
        return DetailBelow(described, BarColumn(), steps, TimeRemainingColumn())
    return DetailBelow()
