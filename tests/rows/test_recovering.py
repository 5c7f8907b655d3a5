"""A lost worker's rows run again, alone; a poisoned one ends after three attempts alone."""

import json

from sqlalchemy import Engine

from app.db.adaptations import next_waiting, succeed
from app.db.connections import reading, writing
from app.values.adaptation import Adaptation
from tests.rows.orders import (
    OUTCOME,
    claimed,
    events,
    lapse,
    queue,
    recovered,
    value,
)


def ids_of(batch: list[Adaptation]) -> list[str]:
    return [one.id for one in batch]


def test_a_row_under_a_live_lease_is_left_alone(engine: Engine) -> None:
    queue(engine)
    claimed(engine)

    assert recovered(engine) == []


def test_rows_of_a_lost_batch_wait_again_and_run_one_by_one(engine: Engine) -> None:
    ids = queue(engine, 3)
    claimed(engine)
    lapse(engine, *ids)

    assert sorted(recovered(engine)) == sorted(ids)
    assert {value(engine, "status", one) for one in ids} == {"queued"}

    batches = [ids_of(claimed(engine)) for _ in range(4)]
    assert sorted(batches) == sorted([[one] for one in ids] + [[]])


def test_fresh_rows_of_the_same_key_do_not_join_one_that_runs_alone(engine: Engine) -> None:
    [suspect] = queue(engine)
    claimed(engine)
    lapse(engine, suspect)
    recovered(engine)
    fresh = queue(engine, 2)

    assert ids_of(claimed(engine, hint=suspect)) == [suspect]
    assert ids_of(claimed(engine)) == fresh


def test_a_row_is_failed_after_three_attempts_alone_besides_the_first(engine: Engine) -> None:
    [poison] = queue(engine)
    lives = 0
    while claimed(engine):
        lives += 1
        lapse(engine, poison)
        assert recovered(engine) == [poison]

    assert lives == 4  # one in a batch that may have been another's fault, three alone
    assert value(engine, "status", poison) == "failed"
    assert value(engine, "attempts", poison) == 4
    error = value(engine, "error", poison)
    assert (error if isinstance(error, dict) else json.loads(error))["code"] == "worker-lost"
    assert value(engine, "finished_at", poison) is not None
    assert recovered(engine) == []


def test_innocent_neighbours_of_a_poisoned_row_keep_their_budget(engine: Engine) -> None:
    ids = queue(engine, 4)
    poison, innocent = ids[0], ids[1:]
    claimed(engine)
    lapse(engine, *ids)
    recovered(engine)

    while batch := claimed(engine):
        [one] = batch
        if one.id == poison:
            lapse(engine, one.id)
            recovered(engine)
            continue
        with writing(engine) as connection:
            assert succeed(connection, [(one, OUTCOME)])

    assert value(engine, "status", poison) == "failed"
    assert [value(engine, "status", one) for one in innocent] == ["succeeded"] * 3
    assert [value(engine, "attempts", one) for one in innocent] == [2] * 3
    assert [value(engine, "attempts_alone", one) for one in innocent] == [1] * 3


def test_deaths_of_whole_batches_do_not_use_up_the_attempts_alone(engine: Engine) -> None:
    [mine] = queue(engine)
    claimed(engine)

    assert (value(engine, "attempts", mine), value(engine, "attempts_alone", mine)) == (1, 0)


def test_two_looks_at_once_requeue_a_row_once(engine: Engine) -> None:
    [mine] = queue(engine)
    claimed(engine)
    lapse(engine, mine)

    assert [recovered(engine), recovered(engine)] == [[mine], []]
    assert events(engine, mine) == [(1, "queued"), (2, "running"), (3, "queued")]


def test_the_oldest_row_that_waited_long_enough_is_found(engine: Engine) -> None:
    [old] = queue(engine)  # the rows of these tests are queued 1000 s ago
    queue(engine)

    with reading(engine) as connection:
        found = [next_waiting(connection, older_than_s=s) for s in (0, 900, 1100)]

    assert found == [old, old, None]
