"""Rows of any table with the claim's columns are claimed as adaptations are: here, deliveries."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import Column, Engine, MetaData, String, Table, insert

from app.db import claims
from app.db.connections import now_s, reading, writing
from app.db.tables import claim_columns
from tests.rows.orders import run

deliveries = Table(
    "deliveries", MetaData(), *claim_columns(), Column("host", String(200), nullable=False)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a sender keeps of its claim."""

    id: str
    epoch: int


@pytest.fixture(autouse=True)
def table(engine: Engine) -> Iterator[None]:
    deliveries.metadata.create_all(engine)
    yield
    deliveries.metadata.drop_all(engine)


def queue(engine: Engine, number: int = 1, *, host: str = "one") -> list[str]:
    """So many queued deliveries to a host; their ids, oldest first."""
    ids = [f"{host}-{n:03}" for n in range(number)]
    counts = {"epoch": 0, "attempts": 0, "attempts_alone": 0, "alone": False}
    with writing(engine) as connection:
        for n, delivery in enumerate(ids):
            since = now_s() - 1000 + 0.01 * n
            values = {"id": delivery, "host": host, "status": "queued", "queued_at": since}
            connection.execute(insert(deliveries).values(**values, **counts))
    return ids


def claimed(engine: Engine, *, worker: str = "w", limit: int = 32) -> list[Delivery]:
    """What one claim of deliveries to one host gives."""
    host = deliveries.c.host
    with writing(engine) as connection:
        first = claims.first_waiting(connection, deliveries, [host])
        if first is None:
            return []
        rows = claims.claim(
            connection,
            deliveries,
            first,
            host == first.host,
            worker=worker,
            limit=limit,
            lease_s=60,
        )
    return [Delivery(id=row.id, epoch=row.epoch) for row in rows]


def lapse(engine: Engine) -> None:
    run(engine, "UPDATE deliveries SET lease_until = lease_until - 3600")


def recovered(engine: Engine) -> set[str]:
    """The deliveries whose lease has run out, queued again."""
    with writing(engine) as connection:
        rows = claims.lapsed(connection, deliveries)
        lost = [Delivery(id=row.id, epoch=row.epoch) for row in rows]
        return claims.requeue(connection, deliveries, lost)


def test_eight_threads_claim_each_row_exactly_once(engine: Engine) -> None:
    ids = [one for host in "abcde" for one in queue(engine, 40, host=host)]
    taken: list[list[str]] = [[] for _ in range(8)]
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        idle = 0
        while idle < 20:  # on PostgreSQL another one may hold all rows of the oldest host
            batch = claimed(engine, worker=str(number), limit=7)
            idle = 0 if batch else idle + 1
            taken[number].extend(delivery.id for delivery in batch)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Counter(one for mine in taken for one in mine) == Counter(ids)
    assert run(engine, "SELECT DISTINCT status, attempts, epoch FROM deliveries") == [
        ("running", 1, 1)
    ]
    workers = dict(map(tuple, run(engine, "SELECT id, worker FROM deliveries")))
    assert {one: str(n) for n, mine in enumerate(taken) for one in mine} == workers


def test_a_lapsed_lease_is_recovered_and_its_rows_run_alone(engine: Engine) -> None:
    ids = queue(engine, 3)
    claimed(engine)
    early = recovered(engine)
    lapse(engine)

    assert (early, recovered(engine), recovered(engine)) == (set(), set(ids), set())
    batches = [[delivery.id for delivery in claimed(engine)] for _ in range(4)]
    assert sorted(batches) == [[], *([one] for one in ids)]
    assert run(engine, "SELECT DISTINCT attempts, attempts_alone FROM deliveries") == [(2, 1)]


def test_a_renewed_lease_does_not_lapse(engine: Engine) -> None:
    queue(engine, 3)
    held = claimed(engine)
    lapse(engine)

    with writing(engine) as connection:
        renewed = claims.extend_leases(connection, deliveries, held, lease_s=60)

    assert (renewed, recovered(engine)) == (3, set())


def test_an_old_epoch_can_neither_extend_nor_give_back_nor_end(engine: Engine) -> None:
    [mine] = queue(engine)
    old = claimed(engine, worker="old")
    lapse(engine)
    recovered(engine)
    new = claimed(engine, worker="new")
    before = run(engine, "SELECT * FROM deliveries")

    with writing(engine) as connection:
        extended = claims.extend_leases(connection, deliveries, old, lease_s=10_000)
        given = claims.give_back(connection, deliveries, old, pause_s=0)
        held = [claims.still_held(connection, deliveries, claim) for claim in (old, new)]

    assert (extended, given, held) == (0, set(), [set(), {mine}])
    assert run(engine, "SELECT * FROM deliveries") == before


def test_a_row_that_is_given_back_waits_for_the_pause_and_loses_no_attempt(engine: Engine) -> None:
    [mine] = queue(engine)
    held = claimed(engine)

    with writing(engine) as connection:
        given = claims.give_back(connection, deliveries, held, pause_s=1000)

    assert given == {mine}
    assert claimed(engine) == []
    run(engine, "UPDATE deliveries SET queued_at = queued_at - 1000")
    assert [delivery.epoch for delivery in claimed(engine)] == [2]
    assert run(engine, "SELECT attempts, attempts_alone FROM deliveries") == [(1, 0)]


def test_thousands_of_rows_are_recovered_at_once(engine: Engine) -> None:
    ids = queue(engine, 3000)
    claimed(engine, limit=3000)
    lapse(engine)

    assert recovered(engine) == set(ids)


def test_nothing_held_is_nothing_to_renew_or_give_back(engine: Engine) -> None:
    with writing(engine) as connection:
        assert claims.extend_leases(connection, deliveries, [], lease_s=60) == 0
        assert claims.give_back(connection, deliveries, [], pause_s=0) == set()
    with reading(engine) as connection:
        assert claims.next_waiting(connection, deliveries) is None
