"""A claim takes what fits one batch, and nothing that another one holds."""

import threading
from collections import Counter

import pytest
from sqlalchemy import Engine

from app.db.adaptations import extend_leases, fail, succeed
from app.db.connections import writing
from tests.rows.orders import (
    OUTCOME,
    claimed,
    events,
    lapse,
    queue,
    recovered,
    run,
    value,
)


def test_claim_takes_every_row_of_one_batch_key_and_no_other(engine: Engine) -> None:
    first = queue(engine, 2, batch_key="one")
    queue(engine, 3, batch_key="two")
    first += queue(engine, 2, batch_key="one")

    taken = claimed(engine)

    assert [one.id for one in taken] == first
    assert {one.status for one in taken} == {"running"}
    counts = run(engine, "SELECT batch_key, status, count(*) FROM adaptations GROUP BY 1, 2")
    assert set(map(tuple, counts)) == {("one", "running", 4), ("two", "queued", 3)}


def test_claim_takes_no_more_than_its_limit_and_the_oldest_first(engine: Engine) -> None:
    ids = queue(engine, 7)

    batches = [[one.id for one in claimed(engine, limit=3)] for _ in range(4)]

    assert batches == [ids[:3], ids[3:6], ids[6:], []]


def test_claim_takes_no_more_work_than_one_batch_may_be(engine: Engine) -> None:
    queue(engine, 5, support_examples=20, steps=9)  # 20 × (9 + 1) = 200 each

    sizes = [len(claimed(engine, most_example_steps=most)) for most in (650, 150, 10_000)]

    assert sizes == [3, 1, 1]  # one row is always taken, however heavy


def test_claim_counts_an_example_by_its_weight(engine: Engine) -> None:
    queue(engine, 7, support_examples=20, steps=9, example_weight=27)  # 200 × 27 = 5400 each

    sizes = [len(claimed(engine)) for _ in range(4)]  # of 20,000 at most

    assert sizes == [3, 3, 1, 0]


def test_second_claim_finds_nothing(engine: Engine) -> None:
    queue(engine, 2)

    assert len(claimed(engine)) == 2
    assert claimed(engine) == []


def test_hint_goes_before_age_and_a_hint_at_a_taken_row_is_no_loss(engine: Engine) -> None:
    [old] = queue(engine, batch_key="old")
    [new] = queue(engine, batch_key="new")

    assert [one.id for one in claimed(engine, hint=new)] == [new]
    assert [one.id for one in claimed(engine, hint=new)] == [old]


def test_attempts_count_at_the_claim_not_at_the_end(engine: Engine) -> None:
    [mine] = queue(engine)
    before = value(engine, "attempts", mine), value(engine, "epoch", mine)

    claimed(engine, worker="somebody")

    assert before == (0, 0)
    assert (value(engine, "attempts", mine), value(engine, "epoch", mine)) == (1, 1)
    assert value(engine, "worker", mine) == "somebody"


def test_stale_epoch_can_neither_finish_nor_fail_nor_renew_a_row(engine: Engine) -> None:
    [mine] = queue(engine)
    [stale] = claimed(engine, worker="frozen")
    lapse(engine, mine)
    assert recovered(engine) == [mine]
    [taken] = claimed(engine, worker="next holder")
    assert (taken.id, taken.epoch) == (mine, stale.epoch + 1)

    with writing(engine) as connection:
        assert not succeed(connection, [(stale, OUTCOME)])
        assert not fail(connection, stale, code="diverged", detail="late")
        assert extend_leases(connection, [stale], lease_s=10_000) == 0

    assert value(engine, "status", mine) == "running"
    assert value(engine, "worker", mine) == "next holder"
    assert [kind for _, kind in events(engine, mine)] == ["queued", "running", "queued", "running"]


def test_a_row_is_finished_once_under_its_own_epoch(engine: Engine) -> None:
    [mine] = queue(engine)
    [held] = claimed(engine)

    with writing(engine) as connection:
        endings = [succeed(connection, [(held, OUTCOME)]), succeed(connection, [(held, OUTCOME)])]

    assert endings == [{mine}, set()]
    assert [kind for _, kind in events(engine, mine)].count("succeeded") == 1
    assert value(engine, "phi_digest", mine) == OUTCOME.phi_digest


def test_renewing_moves_the_leases_of_the_whole_batch(engine: Engine) -> None:
    ids = queue(engine, 3)
    held = claimed(engine)
    lapse(engine, *ids)
    before = [value(engine, "lease_until", one) for one in ids]

    with writing(engine) as connection:
        renewed = extend_leases(connection, held, lease_s=60)

    assert renewed == 3
    after = [value(engine, "lease_until", one) for one in ids]
    # An hour was taken away by the test; the clock of the database gave it back.
    assert [b - a for a, b in zip(before, after, strict=True)] == [pytest.approx(3600, abs=30)] * 3


def test_eight_claimers_of_400_rows_never_take_one_twice(engine: Engine) -> None:
    ids = [one for key in "abcde" for one in queue(engine, 80, batch_key=key)]
    taken: list[list[tuple[str, str]]] = [[] for _ in range(8)]
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        idle = 0
        while idle < 20:  # on PostgreSQL another one may hold all rows of the oldest key
            batch = claimed(engine, worker=str(number), limit=7)
            idle = 0 if batch else idle + 1
            taken[number].extend((one.id, one.batch_key) for one in batch)
            assert len({one.batch_key for one in batch}) <= 1
            assert len(batch) <= 7

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    times = Counter(one for mine in taken for one, _ in mine)
    assert set(times) == set(ids)
    assert set(times.values()) == {1}
    assert run(engine, "SELECT DISTINCT attempts, epoch FROM adaptations") == [(1, 1)]
    workers = dict(map(tuple, run(engine, "SELECT id, worker FROM adaptations")))
    assert {one: str(n) for n, mine in enumerate(taken) for one, _ in mine} == workers
