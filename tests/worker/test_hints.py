"""Hints: one is enough for many rows, none is lost for good, and none is worth an error."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from kombu import Connection
from redis import Redis

from app.messages.hints import PENDING, Queue, kombu_url, open_queue
from app.settings import Settings, read_settings
from tests.processes import free_port, running_service
from tests.servers import RABBITMQ
from tests.worker.conftest import OpenBench
from tests.worker.orders import look, place
from worker.batch import run_hint
from worker.sweeper import sweep

NAME = "adapt"


def waiting(queue: Queue) -> int:
    """Messages in the broker, counted by Redis itself."""
    length = queue.redis.llen(NAME)
    assert isinstance(length, int)
    return length


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queue]:
    with opened(settings) as queue:
        yield queue


@contextmanager
def opened(settings: Settings) -> Iterator[Queue]:
    queue = open_queue(settings)
    try:
        yield queue
    finally:
        queue.celery.close()
        queue.redis.close()


def test_a_message_carries_an_id_and_nothing_else(queue: Queue) -> None:
    queue.hint("ad_1")

    raw = queue.redis.lindex(NAME, 0)
    assert isinstance(raw, bytes)
    message = json.loads(raw)
    assert message["headers"]["argsrepr"] == "('ad_1',)"
    assert message["content-type"] == "application/json"


def test_hints_are_coalesced_until_a_worker_looks(queue: Queue) -> None:
    sent = [queue.hint(f"ad_{number}") for number in range(5)]

    assert sent == [True, False, False, False, False]
    assert waiting(queue) == 1


def test_a_hint_after_a_look_is_sent(queue: Queue) -> None:
    queue.hint("ad_1")
    queue.taken()

    assert queue.hint("ad_2")
    assert waiting(queue) == 2


def test_a_lost_hint_holds_the_next_one_back_for_two_seconds_at_most(queue: Queue) -> None:
    queue.hint("ad_1")
    queue.redis.delete(NAME)  # the message is lost, nobody ever looks

    left = queue.redis.pttl(PENDING)
    assert isinstance(left, int)
    assert 0 < left <= 2000
    queue.redis.delete(PENDING)
    assert queue.hint("ad_2")


def test_many_rows_of_a_kind_need_one_message_and_one_batch(open_bench: OpenBench) -> None:
    bench = open_bench()
    ids = [place(bench) for _ in range(6)]
    messages = waiting(bench.backends.queue)

    assert run_hint(bench, ids[0]) == 6

    assert messages <= 3  # one, or one more for every two seconds that a slow machine takes
    assert {look(bench, one).status for one in ids} == {"succeeded"}
    assert run_hint(bench, ids[1]) == 0


def test_a_look_that_leaves_rows_behind_hints_again(open_bench: OpenBench) -> None:
    bench = open_bench(batch_limit=2)
    for _ in range(3):
        place(bench)
    bench.backends.queue.redis.delete(NAME)

    assert run_hint(bench, None) == 2
    assert waiting(bench.backends.queue) == 1
    assert run_hint(bench, None) == 1
    assert waiting(bench.backends.queue) == 1


def test_a_broker_that_is_away_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"

    with opened(read_settings(data_dir=tmp_path, redis_url=away)) as queue:
        with caplog.at_level(logging.WARNING):
            sent = [queue.hint("ad_1"), queue.repair("ad_2")]
            queue.taken()

        assert sent == [False, False]
        assert not queue.is_up()
    unsent = [vars(line) for line in caplog.records if line.getMessage() == "hint not sent"]
    assert [line["adaptation_id"] for line in unsent] == ["ad_1", "ad_2"]


def test_a_refused_hint_does_not_hold_its_caller_up(tmp_path: Path) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"

    with opened(read_settings(data_dir=tmp_path, redis_url=away)) as queue:
        queue.hint("ad_1")  # loads what the broker's client needs
        started = time.monotonic()
        queue.hint("ad_2")

        assert time.monotonic() - started < 1


def test_an_order_is_accepted_without_a_broker_and_found_by_the_sweeper(
    open_bench: OpenBench, redis_url: str
) -> None:
    bench = open_bench(redis_url=f"redis://127.0.0.1:{free_port()}/0", sweep_s=0)
    mine = place(bench)
    assert look(bench, mine).status == "queued"

    back = open_bench(redis_url=redis_url, sweep_s=0.001)
    sweep(back.backends)

    assert waiting(back.backends.queue) == 1
    assert run_hint(back, None) == 1
    assert look(back, mine).status == "succeeded"


def test_an_address_of_a_unix_socket_is_put_in_the_brokers_words() -> None:
    assert kombu_url("unix:///tmp/a b/s.sock?db=3") == (
        "redis+socket:///tmp/a b/s.sock?virtual_host=3"
    )
    assert kombu_url("redis://h:1/2") == "redis://h:1/2"
    assert kombu_url(RABBITMQ) == RABBITMQ


def test_with_rabbitmq_the_messages_go_through_it(
    settings: Settings, redis_url: str, rabbitmq_url: str
) -> None:
    own = settings.model_copy(update={"broker_url": rabbitmq_url})

    with opened(own) as queue:
        assert queue.is_up()
        assert queue.hint("ad_1")

    with Redis.from_url(redis_url) as client:
        assert client.llen(NAME) == 0
    with Connection(rabbitmq_url) as broker, broker.channel() as channel:
        channel.queue_purge(NAME)  # nobody works for this queue


@pytest.mark.slow
@pytest.mark.e2e
def test_a_service_with_rabbitmq_as_broker_adapts(tmp_path: Path, rabbitmq_url: str) -> None:
    body = {
        "checkpoint": "sinusoid",
        "support": {"inputs": [0.0, 1.0, 2.0], "targets": [0.0, 0.8, 0.9]},
    }
    with running_service(tmp_path, FEWSTEP_BROKER_URL=rabbitmq_url) as service:
        with Connection(rabbitmq_url) as broker, broker.channel() as channel:
            consumers = channel.queue_declare(NAME, passive=True).consumer_count
        answer = httpx.post(
            f"{service.base_url}/adapt", json=body, headers={"Prefer": "wait=30"}, timeout=40
        )

    assert consumers >= 1
    assert answer.status_code == 201, answer.text
    assert answer.json()["status"] == "succeeded"
