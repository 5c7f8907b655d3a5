"""What the console shows of a training: bars or lines, and sentences, in the order they came."""

import pytest
from rich.console import Console

from app.cli.learning import bars as shown_by
from app.cli.learning.bars import Bars, Lines, bars
from app.values.progress import Reached

DETAIL = "training accuracy 0.979, validation 0.704 (best 0.704 at 100)"


def reached(done: int, detail: str = "") -> Reached:
    return Reached(activity="training", subject="short", done=done, total=30, detail=detail)


def test_a_bar_stands_where_it_was_left_before_the_sentence_that_came_after_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = Bars()

    shown.progress.moved(reached(6))
    shown.progress.moved(reached(7, DETAIL))
    shown.say("stopped after outer step 7")
    shown.progress.moved(Reached(activity="testing", subject="600 episodes", done=0, total=600))
    shown.close()

    bar, below, said, last = (line.split() for line in capsys.readouterr().out.splitlines())
    assert (bar[0], bar[-2]) == ("short", "7/30")
    assert below == DETAIL.split()
    assert said == ["stopped", "after", "outer", "step", "7"]
    assert last[:2] == ["600", "episodes"]


def test_without_a_terminal_there_is_a_line_every_half_minute_and_one_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 0.0
    lines = Lines(clock=lambda: now)

    for done in range(1, 31):
        now = 4.0 * done
        lines.progress.moved(reached(done, f"training accuracy 0.{done:02}"))
    lines.progress.moved(Reached(activity="choosing", subject="inner steps", done=1, total=None))
    lines.say("no inner step is taken")

    assert capsys.readouterr().out.splitlines() == [
        "short 8/30: training accuracy 0.08",
        "short 16/30: training accuracy 0.16",
        "short 24/30: training accuracy 0.24",
        "short 30/30: training accuracy 0.30",
        "no inner step is taken",
    ]


@pytest.mark.parametrize(("terminal", "kind"), [(True, Bars), (False, Lines)])
def test_bars_are_for_terminals(
    terminal: bool, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown_by, "Console", lambda: Console(force_terminal=terminal))

    with bars() as shown:
        assert type(shown) is kind
