"""Counts of several processes come to one total that never goes back, whatever Redis does."""

from collections.abc import Iterator
from threading import Thread

import pytest

from app.observing.sharing import Sharing
from tests.observing.counts import Other
from tests.observing.proxy import Wire, wire_to

LEASES = ("fewstep_leases_expired_total", ())
WAITS = ("fewstep_queue_wait_seconds_count", ())
SHORT = ("fewstep_queue_wait_seconds_bucket", (("le", "0.1"),))


@pytest.fixture
def wire(redis_url: str) -> Iterator[Wire]:
    with wire_to(redis_url) as wire:
        yield wire


def test_the_counts_of_two_processes_are_added(redis_url: str) -> None:
    one, two = Other(), Other()
    first, second = (Sharing(redis_url, process.registry) for process in (one, two))
    one.leases.inc(2)
    two.leases.inc(3)
    one.waits.observe(0.05)
    two.waits.observe(0.5)

    first.flush()
    counts = second.totals().counts

    assert (counts[LEASES], counts[WAITS], counts[SHORT]) == (5, 2, 1)


def test_what_a_process_told_stays_when_it_is_gone(redis_url: str) -> None:
    gone = Other()
    gone.leases.inc(4)
    Sharing(redis_url, gone.registry).flush()

    counts = Sharing(redis_url, Other().registry).totals().counts

    assert counts[LEASES] == 4


def test_a_second_flush_sends_only_what_is_new(redis_url: str) -> None:
    process = Other()
    sharing = Sharing(redis_url, process.registry)
    process.leases.inc(4)

    told = [sharing.flush(), sharing.flush()]
    process.leases.inc()

    assert (told, sharing.totals().counts[LEASES]) == ([True, True], 5)


def test_threads_that_flush_at_once_count_once(redis_url: str) -> None:
    process = Other()
    sharing = Sharing(redis_url, process.registry)
    process.leases.inc(7)
    threads = [Thread(target=sharing.flush) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sharing.totals().counts[LEASES] == 7


def test_counts_wait_while_redis_is_away_and_are_told_meanwhile(wire: Wire) -> None:
    one, two = Other(), Other()
    first, second = (Sharing(wire.url, process.registry) for process in (one, two))
    two.leases.inc(10)
    second.flush()
    first.totals()

    wire.is_cut = True
    one.leases.inc(2)
    away = first.totals()
    wire.is_cut = False
    back = first.totals()

    assert (away.redis_up, away.counts[LEASES]) == (False, 12)
    assert (back.redis_up, back.counts[LEASES]) == (True, 12)


def test_a_process_that_never_reached_redis_tells_its_own_counts() -> None:
    process = Other()
    process.leases.inc(3)

    totals = Sharing("redis://127.0.0.1:1", process.registry).totals()

    assert (totals.redis_up, totals.counts[LEASES]) == (False, 3)


def test_a_flush_whose_answer_was_lost_is_counted_once(wire: Wire) -> None:
    process = Other()
    sharing = Sharing(wire.url, process.registry)
    sharing.totals()  # the connection stands

    wire.drops_answers = True
    process.leases.inc(5)
    told = sharing.flush()
    wire.drops_answers = False
    process.leases.inc(1)

    assert wire.dropped.is_set()
    assert not told
    assert sharing.totals().counts[LEASES] == 6


def test_a_flush_that_was_never_heard_is_counted_later(wire: Wire) -> None:
    process = Other()
    sharing = Sharing(wire.url, process.registry)
    process.leases.inc(5)

    wire.is_cut = True
    told = sharing.flush()
    wire.is_cut = False

    assert not told
    assert sharing.totals().counts[LEASES] == 5


def test_a_process_tells_the_rest_when_it_ends(redis_url: str) -> None:
    process = Other()

    with Sharing(redis_url, process.registry).flushing():
        process.leases.inc(2)

    assert Sharing(redis_url, Other().registry).totals().counts[LEASES] == 2
