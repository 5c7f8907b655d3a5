"""Equal work of a tenant is done once, and nothing but equal work is taken for equal."""

from typing import Any

import pytest
from sqlalchemy import text

import worker.batch
from app.adaptations.finding import find_adaptation
from app.db.connections import writing
from app.db.tenants import ensure_tenant
from tests.worker.conftest import OpenBench
from tests.worker.orders import look, place, sine_points
from worker.batch import run_hint
from worker.bench import Bench


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each stacked call had."""
    calls: list[int] = []
    real = worker.batch.adapt_rows

    def counting(checkpoint: Any, rows: Any, **rest: Any) -> Any:
        calls.append(len(rows))
        return real(checkpoint, rows, **rest)

    monkeypatch.setattr(worker.batch, "adapt_rows", counting)
    return calls


def test_rows_of_a_batch_that_are_equal_are_worked_out_once(
    bench: Bench, worked: list[int]
) -> None:
    x, y = sine_points(5)
    ids = [place(bench, name="a"), place(bench, name="b")]
    other = place(bench, support_inputs=x.tolist(), support_targets=y.tolist())

    run_hint(bench, None)

    first, second = (look(bench, one) for one in ids)
    assert worked == [2]
    assert first.phi_digest == second.phi_digest
    assert first.metrics == second.metrics
    assert look(bench, other).phi_digest != first.phi_digest
    assert [first.name, second.name] == ["a", "b"]


def test_what_ended_before_is_taken_with_its_predictions(bench: Bench, worked: list[int]) -> None:
    x, y = sine_points(7)
    first = place(bench, query=(x.tolist(), y.tolist()))
    run_hint(bench, None)

    second = place(bench, query=(x.tolist(), y.tolist()))
    run_hint(bench, None)

    assert worked == [1]
    assert look(bench, second).predictions == look(bench, first).predictions
    assert look(bench, second).metrics == look(bench, first).metrics
    assert look(bench, second).timing == {
        "queued_ms": pytest.approx(0, abs=60_000),
        "load_ms": 0.0,
        "adapt_ms": 0.0,
        "batch_size": 0,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 3},
        {"step_size": 0.02},
        {"assess": True},
        {"adapts": "head"},
        {"query": ([[0.5]], None)},
        {"support_targets": [[1.0], [2.0], [3.0], [4.0], [5.0]]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_the_outcome_is_other_work(
    bench: Bench, worked: list[int], change: dict[str, Any]
) -> None:
    place(bench)
    run_hint(bench, None)

    place(bench, **change)
    run_hint(bench, None)

    assert len(worked) > 1


def test_tenants_share_nothing(bench: Bench, worked: list[int]) -> None:
    with writing(bench.backends.engine) as connection:
        ensure_tenant(connection, "acme")
    place(bench)
    run_hint(bench, None)

    theirs = place(bench, tenant_id="acme")
    run_hint(bench, None)

    assert worked == [1, 1]
    ended = find_adaptation(bench.backends, "acme", theirs)
    assert bench.backends.store.exists("acme", str(ended.phi_digest))


def test_parameters_that_are_gone_are_worked_out_again(bench: Bench, worked: list[int]) -> None:
    first = look(bench, run_one(bench))
    bench.backends.store.delete("default", str(first.phi_digest))

    second = look(bench, run_one(bench))

    assert worked == [1, 1]
    assert second.phi_digest == first.phi_digest
    assert bench.backends.store.exists("default", str(second.phi_digest))


def test_a_row_that_names_no_parameters_gives_none(bench: Bench, worked: list[int]) -> None:
    run_one(bench)
    with writing(bench.backends.engine) as connection:
        connection.execute(text("UPDATE adaptations SET phi_digest = NULL"))

    assert look(bench, run_one(bench)).status == "succeeded"
    assert worked == [1, 1]


def test_where_it_is_switched_off_every_row_is_worked_out(
    open_bench: OpenBench, worked: list[int]
) -> None:
    bench = open_bench(share_equal_work=False)
    place(bench), place(bench)

    run_hint(bench, None)

    assert worked == [2]


def run_one(bench: Bench) -> str:
    """The id of an adaptation that was placed and run."""
    mine = place(bench)
    run_hint(bench, mine)
    return mine
