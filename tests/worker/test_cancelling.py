"""Work that nobody wants any more stops between two steps; what others want goes on."""

import time
from typing import Any

import pytest

import worker.batch
from app.adaptations.changing import cancel_adaptation, delete_adaptation
from app.errors import ServiceError
from tests.worker.conftest import OpenBench
from tests.worker.orders import kinds, look, place, sine_points
from worker.batch import run_hint
from worker.bench import Bench

STEP_S = 0.03  # longer than work is asked at the most often


class Steps:
    """Counts the inner steps of a stacked call, and does something after one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, after: int, do: Any) -> None:
        self.taken = 0
        real = worker.batch.adapt_rows

        def stepping(*args: Any, progress: Any, **rest: Any) -> Any:
            def moved() -> None:
                self.taken += 1
                if self.taken == after:
                    do()
                time.sleep(STEP_S)
                progress()

            return real(*args, progress=moved, **rest)

        monkeypatch.setattr(worker.batch, "adapt_rows", stepping)


def test_a_cancelled_adaptation_stops_within_one_inner_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = place(bench, steps=50)
    steps = Steps(
        monkeypatch, after=7, do=lambda: cancel_adaptation(bench.backends, "default", mine)
    )

    run_hint(bench, mine)

    assert steps.taken in (7, 8)
    assert look(bench, mine).status == "cancelled"
    assert look(bench, mine).phi_digest is None
    assert kinds(bench, mine) == ["queued", "running", "cancelled"]


def test_a_deleted_one_stops_as_well_and_leaves_no_row(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = place(bench, steps=50)
    steps = Steps(
        monkeypatch, after=7, do=lambda: delete_adaptation(bench.backends, "default", mine)
    )

    run_hint(bench, mine)

    assert steps.taken in (7, 8)
    with pytest.raises(ServiceError, match="no such adaptation"):
        look(bench, mine)


def test_without_redis_the_heartbeat_stops_it(
    open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = open_bench(heartbeat_s=0.1)
    mine = place(bench, steps=100)
    monkeypatch.setattr("app.adaptations.changing.mark_stopped", lambda redis, ids: None)
    steps = Steps(
        monkeypatch, after=5, do=lambda: cancel_adaptation(bench.backends, "default", mine)
    )

    run_hint(bench, mine)

    assert steps.taken < 30
    assert look(bench, mine).status == "cancelled"


def test_the_others_of_its_batch_go_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = sine_points(3)
    mine = place(bench, steps=10)
    other = place(bench, steps=10, support_inputs=x.tolist(), support_targets=y.tolist())
    steps = Steps(
        monkeypatch, after=3, do=lambda: cancel_adaptation(bench.backends, "default", mine)
    )

    assert run_hint(bench, mine) == 2

    assert steps.taken >= 10
    assert look(bench, mine).status == "cancelled"
    assert look(bench, other).status == "succeeded"


def test_what_waits_is_cancelled_and_never_claimed(bench: Bench) -> None:
    mine = place(bench)

    cancelled = cancel_adaptation(bench.backends, "default", mine)

    assert cancelled.status == "cancelled"
    assert run_hint(bench, mine) == 0
    assert cancel_adaptation(bench.backends, "default", mine).status == "cancelled"
    assert kinds(bench, mine) == ["queued", "cancelled"]


def test_what_ended_cannot_be_cancelled(bench: Bench) -> None:
    mine = place(bench)
    run_hint(bench, mine)

    with pytest.raises(ServiceError, match="conflict"):
        cancel_adaptation(bench.backends, "default", mine)

    assert look(bench, mine).status == "succeeded"
