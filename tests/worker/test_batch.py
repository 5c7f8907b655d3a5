"""One hint's work: rows of a batch end together, and what goes wrong with one stays with it."""

import errno
import os
import shutil
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from redis import Redis
from sqlalchemy import text

import worker.batch
from app.db.adaptations import claim, recover_lost, succeed
from app.db.checkpoints import add_version
from app.db.connections import writing
from app.errors import ServiceError
from app.messages.news import CHANNEL
from app.store import StoreUnavailable
from app.values.adaptation import Adaptation, Outcome
from tests.rows.versions import described
from tests.worker.conftest import OpenBench
from tests.worker.orders import drawings, kinds, look, place, sine_points
from worker.batch import run_hint
from worker.bench import Bench
from worker.stacking import adapt_rows


def test_a_batch_ends_all_its_rows_with_all_that_they_asked_for(bench: Bench) -> None:
    x, y = sine_points(7, count=30)
    plain = place(bench)
    asking = place(bench, query=(x.tolist(), y.tolist()))

    assert run_hint(bench, plain) == 2

    first, second = look(bench, plain), look(bench, asking)
    assert [first.status, second.status] == ["succeeded", "succeeded"]
    assert first.metrics is not None
    assert second.metrics is not None
    assert set(first.metrics) == {"support_loss"}
    assert len(first.metrics["support_loss"]) == 11
    assert second.predictions is not None
    values = np.array([one["value"] for one in second.predictions])
    assert second.metrics["query_mse"] == pytest.approx(np.mean((values - y) ** 2), rel=1e-5)
    assert first.timing is not None
    assert first.timing["batch_size"] == 2
    assert kinds(bench, plain) == kinds(bench, asking) == ["queued", "running", "succeeded"]


def test_who_waits_is_woken_after_the_rows_have_ended(bench: Bench, redis_url: str) -> None:
    mine = place(bench)

    with Redis.from_url(redis_url) as client, client.pubsub() as ears:
        ears.subscribe(CHANNEL)
        ears.get_message(timeout=5)  # that we are subscribed
        run_hint(bench, mine)
        began, heard = ears.get_message(timeout=5), ears.get_message(timeout=5)

    assert began is not None
    assert heard is not None
    assert [began["data"], heard["data"]] == [b"moved " + mine.encode(), mine.encode()]
    assert look(bench, mine).status == "succeeded"


def test_no_transaction_is_open_while_the_device_works(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_then: list[int] = []

    def watched(*arguments: Any, **more: Any) -> Any:
        open_then.append(bench.backends.engine.pool.checkedout())  # type: ignore[attr-defined]
        return adapt_rows(*arguments, **more)

    monkeypatch.setattr(worker.batch, "adapt_rows", watched)
    mine = place(bench)

    run_hint(bench, mine)

    assert open_then == [0]
    assert look(bench, mine).status == "succeeded"


def test_a_damaged_support_set_fails_alone(bench: Bench) -> None:
    ids = [place(bench), place(bench, support_inputs=[1.0] * 5), place(bench)]
    folder = bench.backends.settings.data_dir / "blobs" / "default"
    (folder / look(bench, ids[1]).support_digest).write_bytes(b"something else")

    run_hint(bench, None)

    assert [look(bench, one).status for one in ids] == ["succeeded", "failed", "succeeded"]
    error = look(bench, ids[1]).error
    assert error is not None
    assert error["code"] == "damaged"


def test_a_mistake_of_ours_in_one_row_ends_that_row_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [sine_points(seed) for seed in range(3)]
    ids = [
        place(bench, name=name, support_inputs=x.tolist(), support_targets=y.tolist())
        for name, (x, y) in zip(("good", "bad", "fine"), points, strict=True)
    ]
    real = worker.batch.outcome_of

    def stumbling(bench: Bench, checkpoint: Any, one: Any, *rest: Any) -> Any:
        if one.name == "bad":
            raise ZeroDivisionError
        return real(bench, checkpoint, one, *rest)

    monkeypatch.setattr(worker.batch, "outcome_of", stumbling)

    run_hint(bench, None)

    assert [look(bench, one).status for one in ids] == ["succeeded", "failed", "succeeded"]
    assert look(bench, ids[1]).error == {
        "code": "internal",
        "detail": "the service made a mistake; it was logged",
    }


def test_a_checkpoint_that_is_gone_fails_its_rows_and_says_why(bench: Bench) -> None:
    mine = place(bench)
    shutil.rmtree(bench.backends.settings.data_dir / "blobs" / "shared")

    run_hint(bench, mine)

    error = look(bench, mine).error
    assert error is not None
    assert error["code"] == "damaged"


def test_a_frozen_worker_that_wakes_up_changes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = place(bench)

    def overtaken(*arguments: Any, **more: Any) -> Any:
        result = adapt_rows(*arguments, **more)
        with writing(bench.backends.engine) as connection:
            connection.execute(text("UPDATE adaptations SET lease_until = 0"))
            recover_lost(connection)
            claim(connection, worker="next holder", limit=1, lease_s=60, most_example_steps=20_000)
        return result

    monkeypatch.setattr(worker.batch, "adapt_rows", overtaken)

    run_hint(bench, mine)

    assert look(bench, mine).status == "running"
    assert look(bench, mine).phi_digest is None
    assert kinds(bench, mine) == ["queued", "running", "queued", "running"]


def cancel(bench: Bench, adaptation_id: str) -> None:
    with bench.backends.engine.begin() as connection:
        statement = text("UPDATE adaptations SET status = 'cancelled' WHERE id = :id")
        connection.execute(statement, {"id": adaptation_id})


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, happens: Callable[[], object]) -> list[int]:
    """Has something happen in an inner step of a batch, and every step take 20 ms; the list counts
    them.
    """
    taken: list[int] = []

    def slowly(*arguments: Any, progress: Callable[[], None], **more: Any) -> Any:
        def moved() -> None:
            taken.append(len(taken) + 1)
            if taken[-1] == step:
                happens()
            time.sleep(0.02)
            progress()

        return adapt_rows(*arguments, progress=moved, **more)

    monkeypatch.setattr(worker.batch, "adapt_rows", slowly)
    return taken


def test_a_batch_that_another_worker_took_over_ends_between_two_steps(
    open_bench: OpenBench, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = open_bench(database_url=database_url, heartbeat_s=0.05)
    mine = place(bench, steps=100)
    theirs: list[Adaptation] = []

    def taken_over() -> None:
        with writing(bench.backends.engine) as connection:
            connection.execute(text("UPDATE adaptations SET lease_until = 0"))
            recover_lost(connection)
            theirs.extend(
                claim(connection, worker="new", limit=1, lease_s=60, most_example_steps=20_000)
            )

    taken = at_step(monkeypatch, 5, taken_over)
    run_hint(bench, mine)

    assert 5 <= len(taken) < 100
    assert (look(bench, mine).status, look(bench, mine).epoch) == ("running", 2)
    outcome = Outcome(phi_digest="0" * 64, metrics={}, predictions=None, timing={})
    with writing(bench.backends.engine) as connection:
        assert succeed(connection, [(theirs[0], outcome)]) == {mine}
    assert kinds(bench, mine) == ["queued", "running", "queued", "running", "succeeded"]
    bench.backends.engine.dispose()


def test_a_batch_that_lost_one_of_its_rows_ends_the_others(
    open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = open_bench(heartbeat_s=0.05)
    lost, kept = place(bench, steps=50), place(bench, steps=50)

    taken = at_step(monkeypatch, 5, lambda: cancel(bench, lost))
    run_hint(bench, kept)

    assert len(taken) >= 50
    assert [look(bench, one).status for one in (lost, kept)] == ["cancelled", "succeeded"]


def test_an_assessment_ends_between_two_steps_when_its_row_is_cancelled(
    open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = open_bench(heartbeat_s=0.05)
    mine = place(bench, steps=50, assess=True)
    taken: list[float] = []
    real = worker.batch.outcome_of

    def slowly(*arguments: Any) -> Any:
        *others, progress = arguments
        cancel(bench, mine)

        def moved() -> None:
            taken.append(time.monotonic())
            time.sleep(0.02)
            progress()

        return real(*others, moved)

    monkeypatch.setattr(worker.batch, "outcome_of", slowly)

    run_hint(bench, mine)

    assert 0 < len(taken) < 50
    assert look(bench, mine).status == "cancelled"


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")  # as in a worker that runs
def test_a_score_beyond_float32_is_a_number_and_costs_no_neighbour_its_result(
    postgres_bench: Bench,
) -> None:
    bench = postgres_bench
    good = place(bench)
    far = place(bench, query=([1.0], [1e30]))

    run_hint(bench, good)

    assert [look(bench, one).status for one in (good, far)] == ["succeeded", "succeeded"]
    metrics = look(bench, far).metrics
    assert metrics is not None
    assert metrics["query_mse"] == pytest.approx(1e60, rel=1e-3)


def test_assessing_scores_as_leaving_each_example_out_by_hand_does(bench: Bench) -> None:
    x, y = sine_points(3)
    mine = place(bench, support_inputs=x.tolist(), support_targets=y.tolist(), assess=True)
    without = [
        place(
            bench,
            support_inputs=np.delete(x, index, axis=0).tolist(),
            support_targets=np.delete(y, index, axis=0).tolist(),
            query=([x[index].tolist()], [y[index].tolist()]),
        )
        for index in range(len(x))
    ]
    while run_hint(bench, None):
        pass

    metrics = [look(bench, one).metrics or {} for one in without]
    by_hand = np.mean([one["query_mse"] for one in metrics])
    assessed = look(bench, mine).metrics
    assert assessed is not None
    assert assessed["leave_one_out_mse"] == pytest.approx(by_hand, rel=1e-4)


def test_a_full_store_fails_the_row_with_its_reason(
    open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.store import StoreFull
    from app.store.files import FileStore

    bench = open_bench()
    mine = place(bench)

    def full(self: FileStore, tenant: str, data: bytes) -> str:
        raise StoreFull("no space is left for blobs")

    monkeypatch.setattr(FileStore, "put", full)

    run_hint(bench, mine)

    error = look(bench, mine).error
    assert error is not None
    assert error["code"] == "store-full"


def test_a_disk_that_is_full_when_a_batch_is_synced_fails_each_row_with_its_reason(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [place(bench), place(bench, step_size=0.02)]

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        assert run_hint(bench, ids[0]) == 2

    assert [(look(bench, one).error or {}).get("code") for one in ids] == ["store-full"] * 2


def test_a_store_that_is_away_for_a_moment_costs_no_row_and_no_attempt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = place(bench), place(bench)
    store = type(bench.backends.store)

    def away(*_: Any) -> bytes:
        raise StoreUnavailable

    monkeypatch.setattr(worker.batch, "STORE_PAUSE_S", 0.5)
    with monkeypatch.context() as outage:
        outage.setattr(store, "get", away)
        run_hint(bench, first)
    assert run_hint(bench, first) == 0  # nobody spins on a store that is away
    assert [look(bench, one).status for one in (first, second)] == ["queued", "queued"]
    assert look(bench, first).attempts == 0

    time.sleep(0.6)
    run_hint(bench, first)

    assert [look(bench, one).status for one in (first, second)] == ["succeeded", "succeeded"]
    assert look(bench, first).attempts == 1
    assert kinds(bench, first) == ["queued", "running", "queued", "running", "succeeded"]


def test_a_device_that_broke_ends_the_process_and_not_the_rows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = place(bench)

    def broken(*_: Any, **__: Any) -> Any:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    def exits(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(worker.batch, "adapt_rows", broken)
    monkeypatch.setattr("os._exit", exits)

    with pytest.raises(SystemExit):
        run_hint(bench, mine)

    assert look(bench, mine).status == "running"  # its lease lapses, and another process runs it


def test_a_checkpoint_installed_before_it_was_refused_adapts_no_more(bench: Bench) -> None:
    about = described("old", normalisation="batch")
    with writing(bench.backends.engine) as connection:
        add_version(connection, "default", "0" * 64, 1, 1, about)

    with pytest.raises(ServiceError, match="would depend on the other inputs") as refused:
        place(bench, checkpoint="old")

    assert refused.value.status == 422


def test_assessing_shows_where_the_nearest_example_knows_better(bench: Bench) -> None:
    """Two classes of two kinds of lines each, upright and slanted, three of every kind."""
    x = np.concatenate([drawings(seed, 4) for seed in (1, 2, 3)])
    mine = place(
        bench,
        checkpoint="omniglot-anyway",
        support_inputs=x.tolist(),
        support_targets=["upright", "slanted"] * 6,
        assess=True,
    )

    run_hint(bench, mine)

    assessed = look(bench, mine).metrics
    assert assessed is not None
    assert assessed["assessed"]["nearest_neighbour"] == 1.0
    assert assessed["assessed"]["unadapted"] < 1.0
    assert assessed["best"] in ("nearest_neighbour", "kernel")
