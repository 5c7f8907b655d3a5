"""The sweeper finds lost workers' rows, forgotten rows, and rows past their time."""

import time

import pytest
from redis import Redis
from sqlalchemy import text

from app.db.adaptations import claim
from app.db.connections import writing
from app.errors import ServiceError
from tests.worker.conftest import OpenDesk
from tests.worker.orders import look, place
from worker import sweeper
from worker.batch import run_hint
from worker.desk import Desk
from worker.sweeper import start_sweeper, sweep


def change(desk: Desk, statement: str) -> None:
    with desk.backends.engine.begin() as connection:
        connection.execute(text(statement))


def forget_messages(desk: Desk) -> None:
    """What a flushed broker remembers."""
    desk.backends.queue.redis.flushdb()


def messages(desk: Desk) -> list[bytes]:
    found = desk.backends.queue.redis.lrange("adapt", 0, -1)
    assert isinstance(found, list)
    return found


def test_a_lost_workers_row_runs_again_after_one_round(desk: Desk) -> None:
    mine = place(desk)
    with writing(desk.backends.engine) as connection:
        claim(connection, worker="lost", limit=1, lease_s=60, most_example_steps=20_000)
    change(desk, "UPDATE adaptations SET lease_until = lease_until - 3600")
    forget_messages(desk)

    sweep(desk.backends)

    [message] = messages(desk)
    assert mine.encode() in message
    assert run_hint(desk, mine) == 1
    assert (look(desk, mine).status, look(desk, mine).attempts) == ("succeeded", 2)


def test_a_row_whose_message_was_lost_is_hinted_again(desk: Desk) -> None:
    mine = place(desk)
    forget_messages(desk)
    change(desk, "UPDATE adaptations SET queued_at = queued_at - 60")

    sweep(desk.backends)

    [message] = messages(desk)
    assert mine.encode() in message


def test_a_fresh_row_is_left_to_its_own_message(open_desk: OpenDesk) -> None:
    desk = open_desk(sweep_s=600)
    place(desk)
    forget_messages(desk)

    sweep(desk.backends)

    assert messages(desk) == []


def test_who_waits_for_a_poisoned_row_is_woken_by_its_failure(desk: Desk, redis_url: str) -> None:
    mine = place(desk)
    with writing(desk.backends.engine) as connection:
        claim(connection, worker="lost", limit=1, lease_s=60, most_example_steps=20_000)
    change(desk, "UPDATE adaptations SET lease_until = 0, attempts_alone = 3")

    with Redis.from_url(redis_url) as client, client.pubsub() as ears:
        ears.subscribe("fewstep:changed")
        ears.get_message(timeout=5)
        sweep(desk.backends)
        heard = ears.get_message(timeout=5)

    assert heard is not None
    assert heard["data"] == mine.encode()
    one = look(desk, mine)
    assert one.status == "failed"
    assert one.error is not None
    assert one.error["code"] == "worker-lost"


def test_a_result_past_its_time_is_expired(desk: Desk) -> None:
    mine = place(desk, ttl_seconds=30)
    run_hint(desk, mine)
    sweep(desk.backends)
    before = look(desk, mine).status
    change(desk, "UPDATE adaptations SET expires_at = expires_at - 60")

    sweep(desk.backends)

    assert (before, look(desk, mine).status) == ("succeeded", "expired")


def test_sweeping_goes_on_after_a_round_that_failed(
    open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = open_desk(sweep_s=0.02)
    mine = place(desk)
    forget_messages(desk)
    real, rounds = sweeper.sweep, []

    def sometimes(backends: object) -> None:
        rounds.append(backends)
        if len(rounds) == 1:
            raise ServiceError("unavailable", "the database does not answer")
        real(backends)  # type: ignore[arg-type]

    monkeypatch.setattr(sweeper, "sweep", sometimes)
    stop = start_sweeper(desk.backends)
    deadline = time.monotonic() + 20
    while not messages(desk) and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()

    assert len(rounds) >= 2
    assert mine.encode() in messages(desk)[0]
