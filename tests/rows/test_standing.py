"""How queue and workers stand, read without a look at every row that is kept."""

import pytest
from sqlalchemy import Engine

from app.db import standing
from app.db.connections import reading, writing
from app.db.standing import count_adaptations, count_workers, oldest_waiting_s
from app.db.workers import announce
from tests.rows.orders import claimed, queue, run


def test_adaptations_are_counted_by_status_those_of_none_too(engine: Engine) -> None:
    queue(engine, 3)
    claimed(engine, limit=1)

    with reading(engine) as connection:
        found = count_adaptations(connection)

    assert found == {
        "queued": 2,
        "running": 1,
        "succeeded": 0,
        "failed": 0,
        "cancelled": 0,
        "expired": 0,
    }


def test_no_more_of_a_status_are_counted_than_the_bound(engine: Engine) -> None:
    queue(engine, 5)
    few = standing.numbers(most=3)

    with reading(engine) as connection:
        found = dict(connection.execute(few).all())

    assert found["queued"] == 3


def test_the_oldest_that_may_be_claimed_is_told_by_its_age(engine: Engine) -> None:
    with reading(engine) as connection:
        assert oldest_waiting_s(connection) == 0
    old, paused = queue(engine, 2)
    later = "UPDATE adaptations SET queued_at = queued_at + 86400 WHERE id = :id"
    run(engine, later, id=paused)
    run(engine, "UPDATE adaptations SET queued_at = queued_at - 1000 WHERE id = :id", id=old)

    with reading(engine) as connection:
        assert oldest_waiting_s(connection) == pytest.approx(2000, abs=30)


def test_workers_are_counted_by_device_while_they_live(engine: Engine) -> None:
    with writing(engine) as connection:
        for name, device in (("a", "cpu"), ("b", "cpu"), ("c", "cuda"), ("gone", "cpu")):
            announce(connection, name, host="h", device=device)
    run(engine, "UPDATE workers SET seen_at = seen_at - 60 WHERE id = 'gone'")

    with reading(engine) as connection:
        assert count_workers(connection) == {"cpu": 2, "cuda": 1}
