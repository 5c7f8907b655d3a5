"""What workers count: why a batch had its size, how long it waited, and how it ended."""

from typing import Any

import pytest
from sqlalchemy import text

from app.db.adaptations import claim
from app.db.connections import writing
from app.observing.stored import last_stored
from tests.observing.counts import counted
from tests.worker.conftest import OpenBench
from tests.worker.orders import look, place, sine_points
from worker import batch, measuring
from worker.batch import run_hint
from worker.bench import Bench
from worker.sweeper import sweep

REASONS = ("alone", "compared", "full", "work-limit", "none-alike", "none-waiting")


def sizes() -> dict[str, tuple[float, float]]:
    """Batches and adaptations in them by reason."""
    name = "fewstep_batch_adaptations"
    return {
        reason: (
            counted(f"{name}_count", reason=reason),
            counted(f"{name}_sum", reason=reason),
        )
        for reason in REASONS
    }


def ran(bench: Bench, hint: str) -> dict[str, float]:
    """The size of the one batch that the hint leads to, by its reason."""
    before = sizes()
    run_hint(bench, hint)
    after = sizes()
    new = {reason: after[reason] for reason in REASONS if after[reason] != before[reason]}
    assert [after[reason][0] - before[reason][0] for reason in new] == [1]
    return {reason: after[reason][1] - before[reason][1] for reason in new}


def other_points(seed: int) -> dict[str, Any]:
    x, y = sine_points(seed)
    return {"support_inputs": x.tolist(), "support_targets": y.tolist()}


def lose_worker(bench: Bench) -> None:
    with writing(bench.backends.engine) as connection:
        claim(connection, worker="lost", limit=9, lease_s=60, most_example_steps=20_000)
        connection.execute(text("UPDATE adaptations SET lease_until = lease_until - 3600"))


def test_nobody_else_waits(bench: Bench) -> None:
    mine = [place(bench, **other_points(seed)) for seed in (1, 2, 3)]

    assert ran(bench, mine[0]) == {"none-waiting": 3}


def test_what_else_waits_is_not_alike(bench: Bench) -> None:
    mine = place(bench)
    place(bench, steps=3)

    assert ran(bench, mine) == {"none-alike": 1}


def test_a_batch_is_full(open_bench: OpenBench) -> None:
    bench = open_bench(batch_limit=2)
    mine = [place(bench, **other_points(seed)) for seed in (1, 2, 3)]

    assert ran(bench, mine[0]) == {"full": 2}


def test_the_work_of_a_batch_is_limited(open_bench: OpenBench) -> None:
    bench = open_bench(max_example_steps=120)  # 5 examples x 11 passes are 55
    mine = [place(bench, **other_points(seed)) for seed in (1, 2, 3)]

    assert ran(bench, mine[0]) == {"work-limit": 2}


def test_one_that_is_compared_goes_by_itself(bench: Bench) -> None:
    mine = place(bench, assess=True)
    place(bench, assess=True, **other_points(2))

    assert ran(bench, mine) == {"compared": 1}


def test_one_that_lost_its_worker_goes_alone_and_its_lease_is_counted(bench: Bench) -> None:
    mine = place(bench)
    place(bench, **other_points(2))
    lose_worker(bench)
    before = counted("fewstep_leases_expired_total")

    sweep(bench.backends)

    assert counted("fewstep_leases_expired_total") == before + 2
    assert ran(bench, mine) == {"alone": 1}


def test_a_worker_lost_for_the_last_time_is_a_failure_with_its_code(bench: Bench) -> None:
    place(bench)
    lose_worker(bench)
    with writing(bench.backends.engine) as connection:
        connection.execute(text("UPDATE adaptations SET attempts_alone = 3"))
    before = counted("fewstep_adaptation_failures_total", code="worker-lost")

    sweep(bench.backends)

    assert counted("fewstep_adaptation_failures_total", code="worker-lost") == before + 1


def test_waiting_ends_and_phases_are_counted(bench: Bench) -> None:
    mine = place(bench)
    with writing(bench.backends.engine) as connection:
        connection.execute(text("UPDATE adaptations SET queued_at = queued_at - 100"))
    phases = ("load", "adapt", "keep", "commit")

    def told() -> list[float]:
        return [
            counted("fewstep_adaptations_ended_total", status="succeeded"),
            *(counted("fewstep_batch_phase_seconds_count", phase=phase) for phase in phases),
        ]

    ended, waited = told(), counted("fewstep_queue_wait_seconds_sum")
    run_hint(bench, mine)

    assert [now - before for now, before in zip(told(), ended, strict=True)] == [1] * 5
    assert counted("fewstep_queue_wait_seconds_sum") - waited == pytest.approx(100, abs=10)


def test_a_failure_is_counted_with_its_code(bench: Bench) -> None:
    mine = place(bench)
    support = look(bench, mine).support_digest
    bench.backends.store.delete("default", support)
    before = counted("fewstep_adaptation_failures_total", code="damaged")

    run_hint(bench, mine)

    assert counted("fewstep_adaptation_failures_total", code="damaged") == before + 1


def test_equal_work_that_is_taken_over_is_counted(bench: Bench) -> None:
    mine = [place(bench), place(bench)]
    before = counted("fewstep_adaptations_taken_over_total")

    run_hint(bench, mine[0])

    assert counted("fewstep_adaptations_taken_over_total") == before + 1


def test_a_batch_that_has_to_run_row_by_row_is_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = [place(bench, **other_points(seed)) for seed in (1, 2)]
    before = counted("fewstep_batch_splits_total", reason="error")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(batch, "adapt_rows", broken)
    run_hint(bench, mine[0])

    assert counted("fewstep_batch_splits_total", reason="error") == before + 1


def test_looks_for_a_checkpoint_are_hits_or_misses(bench: Bench) -> None:
    def looks(result: str) -> float:
        return counted("fewstep_cache_requests_total", cache="theta", result=result)

    before = looks("miss"), looks("hit")
    run_hint(bench, place(bench))
    run_hint(bench, place(bench, **other_points(2)))

    assert (looks("miss"), looks("hit")) == (before[0] + 1, before[1] + 1)


def test_one_worker_looks_through_the_store_for_all(bench: Bench) -> None:
    place(bench)
    folder = bench.backends.settings.data_dir / "blobs"
    files = [file for file in folder.glob("[a-z]*/*") if file.is_file()]

    measuring.look(bench.backends)
    place(bench, **other_points(2))
    measuring.look(bench.backends)  # not its turn again

    told = last_stored(bench.backends.queue.redis)
    assert told is not None
    assert (told.blobs, told.bytes) == (len(files), sum(file.stat().st_size for file in files))
    assert 0 < (told.free_bytes or 0) < (told.size_bytes or 0)
