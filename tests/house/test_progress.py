"""Progress: who watches sees whether the work moves, and can tell it to stop."""

import threading
import time

import pytest

from app.values.progress import LOOKED_EVERY_S, Progress, Stopped


def work(progress: Progress, *, for_s: float) -> None:
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        progress.moved()


def test_work_told_to_stop_by_another_thread_ends_at_its_next_step() -> None:
    progress = Progress()
    progress.moved()
    threading.Thread(target=progress.stop, args=("cancelled",)).start()

    with pytest.raises(Stopped) as stopped:
        work(progress, for_s=20)

    assert stopped.value.reason == "cancelled"


def test_the_first_reason_to_stop_stays() -> None:
    progress = Progress()
    progress.stop("cancelled")
    progress.stop("shutting down")

    with pytest.raises(Stopped, match="cancelled"):
        progress.moved()


def test_work_is_stalled_while_it_does_not_move() -> None:
    progress = Progress(stalled_s=0.05)
    time.sleep(0.1)
    before = progress.is_stalled

    progress.moved()

    assert (before, progress.is_stalled) == (True, False)


def test_a_reason_given_while_another_is_looked_for_is_kept() -> None:
    def look() -> None:
        progress.stop("no row is held")  # as the watching thread may, in just this moment

    progress = Progress(look=look)
    time.sleep(2 * LOOKED_EVERY_S)

    with pytest.raises(Stopped, match="no row is held"):
        progress.moved()
