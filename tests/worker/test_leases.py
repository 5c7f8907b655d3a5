"""Leases are renewed while the work moves, and not a moment longer."""

import time
from collections.abc import Callable

import pytest
from sqlalchemy import text

import worker.leases
from app.db.adaptations import claim, recover_lost
from app.db.connections import writing
from app.errors import ServiceError
from app.values.adaptation import Adaptation
from app.values.progress import Progress, Stopped
from tests.worker.conftest import OpenBench
from tests.worker.orders import look, place
from worker.bench import Bench
from worker.leases import keeping_leases

LEASE_S, HEARTBEAT_S = 1.0, 0.1


def held_by(bench: Bench, rows: int = 1) -> list[Adaptation]:
    for _ in range(rows):
        place(bench)
    with writing(bench.backends.engine) as connection:
        return claim(connection, worker="w", limit=32, lease_s=LEASE_S, most_example_steps=20_000)


def recovered(bench: Bench) -> list[str]:
    with writing(bench.backends.engine) as connection:
        return recover_lost(connection)


def soon(happened: Callable[[], object], *, within_s: float = 20) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if happened():
            return True
        time.sleep(0.05)
    return False


def lease_until(bench: Bench) -> float:
    with bench.backends.engine.begin() as connection:
        until: float = connection.execute(text("SELECT lease_until FROM adaptations")).scalar_one()
        return until


def cancel(bench: Bench, adaptation: Adaptation) -> None:
    with bench.backends.engine.begin() as connection:
        statement = text("UPDATE adaptations SET status = 'cancelled' WHERE id = :id")
        connection.execute(statement, {"id": adaptation.id})


def is_told_to_stop(progress: Progress) -> bool:
    try:
        progress.moved()
    except Stopped:
        return True
    return False


def test_leases_outlast_their_length_while_the_work_moves(open_bench: OpenBench) -> None:
    bench = open_bench(heartbeat_s=HEARTBEAT_S, lease_s=LEASE_S, most_example_steps=20_000)
    held = held_by(bench)
    first = lease_until(bench)

    with keeping_leases(bench.backends, held) as progress:
        for _ in range(25):
            progress.moved()
            time.sleep(0.1)

        assert lease_until(bench) - first > LEASE_S
        assert recovered(bench) == []
        assert look(bench, held[0].id).status == "running"


def test_leases_of_stalled_work_run_out(
    open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.leases, "STALLED_S", 0.3)
    bench = open_bench(heartbeat_s=HEARTBEAT_S, lease_s=LEASE_S, most_example_steps=20_000)
    held = held_by(bench)

    with keeping_leases(bench.backends, held):
        assert soon(lambda: recovered(bench) == [held[0].id])

    assert look(bench, held[0].id).status == "queued"


def test_work_that_lost_all_its_rows_is_told_to_stop(open_bench: OpenBench) -> None:
    bench = open_bench(heartbeat_s=HEARTBEAT_S, lease_s=LEASE_S)
    held = held_by(bench, 2)

    with keeping_leases(bench.backends, held) as progress:
        for adaptation in held:
            cancel(bench, adaptation)

        assert soon(lambda: is_told_to_stop(progress))


def test_work_that_still_holds_one_of_its_rows_goes_on(open_bench: OpenBench) -> None:
    bench = open_bench(heartbeat_s=HEARTBEAT_S, lease_s=LEASE_S)
    held = held_by(bench, 2)
    cancel(bench, held[0])

    with keeping_leases(bench.backends, held) as progress:
        assert not soon(lambda: is_told_to_stop(progress), within_s=10 * HEARTBEAT_S)


def test_stalled_work_that_moves_again_hears_that_its_rows_are_gone(
    open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.leases, "STALLED_S", 0.3)
    bench = open_bench(heartbeat_s=HEARTBEAT_S, lease_s=LEASE_S)
    held = held_by(bench)

    with keeping_leases(bench.backends, held) as progress:
        assert soon(lambda: recovered(bench) == [held[0].id])

        assert soon(lambda: is_told_to_stop(progress))


def test_nothing_is_renewed_after_the_work(open_bench: OpenBench) -> None:
    bench = open_bench(heartbeat_s=HEARTBEAT_S, lease_s=LEASE_S, most_example_steps=20_000)
    held = held_by(bench)
    with keeping_leases(bench.backends, held):
        pass

    assert soon(lambda: recovered(bench) == [held[0].id])


def test_a_database_that_is_away_for_a_while_ends_no_heartbeat(
    open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = open_bench(heartbeat_s=HEARTBEAT_S, lease_s=LEASE_S, most_example_steps=20_000)
    held = held_by(bench)
    real, away = worker.leases.extend_leases, [3]

    def sometimes(*arguments: object, **more: object) -> int:
        if away[0]:
            away[0] -= 1
            raise ServiceError("unavailable", "the database does not answer")
        return real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(worker.leases, "extend_leases", sometimes)
    first = lease_until(bench)

    with keeping_leases(bench.backends, held):
        assert soon(lambda: lease_until(bench) > first)
    assert away == [0]
