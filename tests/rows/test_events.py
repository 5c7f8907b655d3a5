"""Every transition leaves one event, numbered without a gap, in the order of the lifecycle."""

import threading

import pytest
from sqlalchemy import Engine

from app.db.adaptations import fail, replace_phi, succeed
from app.db.connections import writing
from tests.rows.orders import OUTCOME, claimed, events, lapse, queue, recovered

# Drawn from the picture of the lifecycle, not from the code.
FOLLOWS = {
    None: {"queued"},
    "queued": {"running", "cancelled"},
    "running": {"succeeded", "failed", "queued", "cancelled"},
    "succeeded": {"expired"},
}


def test_the_events_of_a_life_are_numbered_from_one_without_a_gap(engine: Engine) -> None:
    [mine] = queue(engine)
    claimed(engine)
    lapse(engine, mine)
    recovered(engine)
    [held] = claimed(engine)
    with writing(engine) as connection:
        succeed(connection, [(held, OUTCOME)])

    kinds = ["queued", "running", "queued", "running", "succeeded"]
    assert events(engine, mine) == list(enumerate(kinds, start=1))
    for before, after in zip([None, *kinds], kinds, strict=False):
        assert after in FOLLOWS[before]


def test_each_row_counts_for_itself(engine: Engine) -> None:
    ids = queue(engine, 2)
    first, second = claimed(engine)
    with writing(engine) as connection:
        succeed(connection, [(first, OUTCOME)])
        fail(connection, second, code="diverged", detail="no")

    assert events(engine, ids[0]) == [(1, "queued"), (2, "running"), (3, "succeeded")]
    assert events(engine, ids[1]) == [(1, "queued"), (2, "running"), (3, "failed")]


def test_a_change_that_is_rolled_back_leaves_no_event(engine: Engine) -> None:
    [mine] = queue(engine)
    [held] = claimed(engine)

    def succeed_and_stumble() -> None:
        with writing(engine) as connection:
            succeed(connection, [(held, OUTCOME)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        succeed_and_stumble()

    assert events(engine, mine) == [(1, "queued"), (2, "running")]


def test_parameters_derived_again_are_told_without_a_change_of_status(engine: Engine) -> None:
    [mine] = queue(engine)
    [held] = claimed(engine)
    with writing(engine) as connection:
        succeed(connection, [(held, OUTCOME)])
        replace_phi(connection, held, "e" * 64)

    assert events(engine, mine)[2:] == [(3, "succeeded"), (4, "derived-again")]


def test_finishing_and_taking_over_at_once_leaves_one_of_both_histories(engine: Engine) -> None:
    [mine] = queue(engine)
    [held] = claimed(engine)
    lapse(engine, mine)
    start = threading.Barrier(2)

    def finish() -> None:
        start.wait()
        with writing(engine) as connection:
            succeed(connection, [(held, OUTCOME)])

    def look() -> None:
        start.wait()
        recovered(engine)

    threads = [threading.Thread(target=finish), threading.Thread(target=look)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    history = events(engine, mine)
    assert [number for number, _ in history] == [1, 2, 3]
    assert history[2][1] in ("succeeded", "queued")
