"""The sweeper finds lost workers' rows, forgotten rows, and rows past their time."""

import time

import pytest
from redis import Redis
from sqlalchemy import text

from app.db.adaptations import claim
from app.db.connections import writing
from app.errors import ServiceError
from tests.worker.conftest import OpenBench
from tests.worker.orders import look, place
from worker import sweeper
from worker.batch import run_hint
from worker.bench import Bench
from worker.sweeper import start_sweeper, sweep


def change(bench: Bench, statement: str) -> None:
    with bench.backends.engine.begin() as connection:
        connection.execute(text(statement))


def forget_messages(bench: Bench) -> None:
    """What a flushed broker remembers."""
    bench.backends.queue.redis.flushdb()


def messages(bench: Bench) -> list[bytes]:
    found = bench.backends.queue.redis.lrange("adapt", 0, -1)
    assert isinstance(found, list)
    return found


def test_a_lost_workers_row_runs_again_after_one_round(bench: Bench) -> None:
    mine = place(bench)
    with writing(bench.backends.engine) as connection:
        claim(connection, worker="lost", limit=1, lease_s=60, most_example_steps=20_000)
    change(bench, "UPDATE adaptations SET lease_until = lease_until - 3600")
    forget_messages(bench)

    sweep(bench.backends)

    [message] = messages(bench)
    assert mine.encode() in message
    assert run_hint(bench, mine) == 1
    assert (look(bench, mine).status, look(bench, mine).attempts) == ("succeeded", 2)


def test_a_row_whose_message_was_lost_is_hinted_again(bench: Bench) -> None:
    mine = place(bench)
    forget_messages(bench)
    change(bench, "UPDATE adaptations SET queued_at = queued_at - 60")

    sweep(bench.backends)

    [message] = messages(bench)
    assert mine.encode() in message


def test_a_fresh_row_is_left_to_its_own_message(open_bench: OpenBench) -> None:
    bench = open_bench(sweep_s=600)
    place(bench)
    forget_messages(bench)

    sweep(bench.backends)

    assert messages(bench) == []


def test_who_waits_for_a_poisoned_row_is_woken_by_its_failure(bench: Bench, redis_url: str) -> None:
    mine = place(bench)
    with writing(bench.backends.engine) as connection:
        claim(connection, worker="lost", limit=1, lease_s=60, most_example_steps=20_000)
    change(bench, "UPDATE adaptations SET lease_until = 0, attempts_alone = 3")

    with Redis.from_url(redis_url) as client, client.pubsub() as ears:
        ears.subscribe("fewstep:changed")
        ears.get_message(timeout=5)
        sweep(bench.backends)
        heard = ears.get_message(timeout=5)

    assert heard is not None
    assert heard["data"] == mine.encode()
    one = look(bench, mine)
    assert one.status == "failed"
    assert one.error is not None
    assert one.error["code"] == "worker-lost"


def test_a_result_past_its_time_is_expired(bench: Bench) -> None:
    mine = place(bench, ttl_seconds=30)
    run_hint(bench, mine)
    sweep(bench.backends)
    before = look(bench, mine).status
    change(bench, "UPDATE adaptations SET expires_at = expires_at - 60")

    sweep(bench.backends)

    assert (before, look(bench, mine).status) == ("succeeded", "expired")


def test_sweeping_goes_on_after_a_round_that_failed(
    open_bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = open_bench(sweep_s=0.02)
    mine = place(bench)
    forget_messages(bench)
    real, rounds = sweeper.sweep, []

    def sometimes(backends: object) -> None:
        rounds.append(backends)
        if len(rounds) == 1:
            raise ServiceError("unavailable", "the database does not answer")
        real(backends)  # type: ignore[arg-type]

    monkeypatch.setattr(sweeper, "sweep", sometimes)
    stop = start_sweeper(bench.backends)
    deadline = time.monotonic() + 20
    while not messages(bench) and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()

    assert len(rounds) >= 2
    assert mine.encode() in messages(bench)[0]
