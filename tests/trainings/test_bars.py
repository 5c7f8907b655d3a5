"""What the console shows of a training: bars and sentences in the order they came."""

import pytest

from app.cli.learning.bars import bars
from app.values.progress import Reached


def test_a_bar_stands_where_it_was_left_before_the_sentence_that_came_after_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    begun = Reached(activity="training", subject="short", done=6, total=30)
    step = Reached(activity="training", subject="short", done=7, total=30, detail="loss 0.125")
    tested = Reached(activity="testing", subject="600 test episodes", done=0, total=600)

    with bars() as shown:
        shown.progress.moved(begun)
        shown.progress.moved(step)
        shown.say("stopped after outer step 7")
        shown.progress.moved(tested)

    first, second, third = (line.split() for line in capsys.readouterr().out.splitlines())
    assert (first[:3], first[-2]) == (["short", "loss", "0.125"], "7/30")
    assert second == ["stopped", "after", "outer", "step", "7"]
    assert third[:3] == ["600", "test", "episodes"]
