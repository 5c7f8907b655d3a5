"""Webhooks over real sockets: signed, tried again, and led nowhere else by whoever answers."""

import json
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest
from standardwebhooks import Webhook

from app.adaptations.webhook_secrets import rotate_webhook_secret, webhook_secret
from app.backends import Backends
from app.db.adaptations import succeed
from app.db.connections import writing
from app.db.deliveries import claim
from app.errors import ServiceError
from app.messages.webhooks.addresses import Address
from app.messages.webhooks.calling import Answered
from app.values.delivery import Delivery
from tests.rows.orders import OUTCOME, claimed, queue
from tests.webhooks.conftest import dispatching, owed
from tests.webhooks.receiver import (
    Behave,
    answering,
    dripping,
    flooding,
    receiving,
    saying,
)
from worker import webhooks
from worker.webhooks import Dispatcher, verdict_on

Open = Callable[..., Backends]
LOCAL = ip_address("127.0.0.1")
SOON = {"webhook_retries_s": "0,0,0"}


def end(backends: Backends, url: str, number: int = 1, **changes: Any) -> list[str]:
    """Adaptations that ended, whose webhook is owed that."""
    ids = queue(backends.engine, number, webhook=url, **changes)
    held = claimed(backends.engine, limit=1000)
    with writing(backends.engine) as connection:
        succeed(connection, [(one, OUTCOME) for one in held])
    return ids


def settled(backends: Backends, adaptation_id: str) -> Delivery:
    """The delivery about it when it has ended."""
    deadline = time.monotonic() + 20
    while (one := owed(backends, adaptation_id)[0]).status not in ("succeeded", "failed"):
        assert time.monotonic() < deadline, one
        time.sleep(0.02)
    return one


def test_an_end_is_posted_signed_as_the_public_verifier_wants(open_bench: Open) -> None:
    backends = open_bench()
    with receiving(answering(204, body=b"")) as receiver:
        [mine] = end(backends, receiver.url, metadata={"user": "42"}, name="ü 🦊")
        with dispatching(Dispatcher(backends=backends)):
            one = settled(backends, mine)

    [got] = receiver.received
    secret = webhook_secret(backends, "default").current
    told = Webhook(secret).verify(got.body, got.headers)
    assert got.line == "POST /hook?a=1 HTTP/1.1"
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["webhook-id"] == one.id
    assert told["type"] == "adaptation.succeeded"
    assert (told["data"]["id"], told["data"]["name"]) == (mine, "ü 🦊")
    assert (one.status, one.answered, one.attempts, one.error) == ("succeeded", 204, 1, None)


def test_while_a_secret_is_exchanged_both_verify(open_bench: Open) -> None:
    backends = open_bench()
    old = webhook_secret(backends, "default").current
    new = rotate_webhook_secret(backends, "default").current
    with receiving(answering(200)) as receiver, dispatching(Dispatcher(backends=backends)):
        end(backends, receiver.url)
        [got] = receiver.wait_for(1)

    assert Webhook(new).verify(got.body, got.headers) == Webhook(old).verify(got.body, got.headers)


def test_a_refused_message_comes_again_under_its_id_until_it_is_taken(open_bench: Open) -> None:
    backends = open_bench(**SOON)
    with receiving(answering(500), answering(302), answering(200)) as receiver:
        [mine] = end(backends, receiver.url)
        with dispatching(Dispatcher(backends=backends)):
            one = settled(backends, mine)

    assert len({got.headers["webhook-id"] for got in receiver.received}) == 1
    assert len({got.body for got in receiver.received}) == 1
    assert (one.status, one.answered, one.attempts) == ("succeeded", 200, 3)


def test_after_the_last_attempt_it_has_failed(open_bench: Open) -> None:
    backends = open_bench(**SOON)
    with receiving(answering(503)) as receiver:
        [mine] = end(backends, receiver.url)
        with dispatching(Dispatcher(backends=backends)):
            one = settled(backends, mine)

    assert len(receiver.received) == 4
    assert (one.status, one.answered, one.attempts) == ("failed", 503, 4)


def test_who_says_that_he_is_gone_is_not_asked_again(open_bench: Open) -> None:
    backends = open_bench(**SOON)
    with receiving(answering(410)) as receiver:
        [mine] = end(backends, receiver.url)
        with dispatching(Dispatcher(backends=backends)):
            one = settled(backends, mine)

    assert len(receiver.received) == 1
    assert (one.status, one.answered) == ("failed", 410)


def test_b194_a_redirect_is_not_followed(open_bench: Open) -> None:
    backends = open_bench(webhook_retries_s="0")
    with receiving(answering(200)) as elsewhere:
        location = f"Location: http://127.0.0.1:{elsewhere.port}/"
        with receiving(answering(302, location), answering(307, location)) as receiver:
            [mine] = end(backends, receiver.url)
            with dispatching(Dispatcher(backends=backends)):
                one = settled(backends, mine)

    assert elsewhere.connections == 0
    assert (one.status, one.answered, one.attempts) == ("failed", 307, 2)


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (dripping(), "no answer within 1 s"),
        (dripping(b"HTTP/1.1 200 OK\r\nX: "), "no answer within 1 s"),
        (saying(b""), "the answer was not HTTP/1.1"),
        (saying(b"SSH-2.0-x\r\n\r\n"), "the answer was not HTTP/1.1"),
        (saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000), "the answer was not HTTP/1.1"),
        (saying(b"HTTP/1.1 101 Switching\r\n\r\n"), "the answer was not HTTP/1.1"),
        (flooding(b"HTTP/1.1 100 Continue\r\n\r\n"), "the answer was not HTTP/1.1"),
    ],
)
def test_what_is_no_answer_in_time_is_a_failure(
    open_bench: Open, behave: Behave, reason: str
) -> None:
    backends = open_bench(webhook_retries_s="1000")
    with receiving(behave) as receiver:
        [mine] = end(backends, receiver.url)
        with dispatching(Dispatcher(backends=backends)):
            receiver.wait_for(1)
            deadline = time.monotonic() + 4
            while (one := owed(backends, mine)[0]).error is None:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    assert (one.status, one.error, one.answered) == ("queued", reason, None)


@pytest.mark.parametrize("endless", [dripping, flooding])
def test_b196_an_answer_without_end_is_cut_and_counts_by_its_status(
    open_bench: Open, endless: Callable[[bytes], Behave]
) -> None:
    backends = open_bench()
    with receiving(endless(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")) as receiver:
        [mine] = end(backends, receiver.url)
        with dispatching(Dispatcher(backends=backends)):
            began = time.monotonic()
            one = settled(backends, mine)

    assert (one.status, one.answered) == ("succeeded", 200)
    assert time.monotonic() - began < 4


def test_a_tenant_with_slow_receivers_holds_up_no_other(open_bench: Open) -> None:
    backends = open_bench(webhook_timeout_s=5)
    with receiving(dripping()) as slow, receiving(answering(200)) as quick:
        end(backends, slow.url, 40)
        with dispatching(Dispatcher(backends=backends)):
            slow.wait_for(1)
            began = time.monotonic()
            [mine] = end(backends, quick.url, tenant_id="other")
            settled(backends, mine)
            took = time.monotonic() - began

    assert took < 3
    assert slow.connections <= 4


def test_b195_a_name_that_leads_elsewhere_when_it_is_called_is_not_called(open_bench: Open) -> None:
    with receiving(answering(200)) as receiver:
        own = {"webhook_networks": None, "webhook_ports": str(receiver.port)}
        backends = open_bench(webhook_retries_s="0", **own)
        [mine] = end(backends, f"https://rebinding.example:{receiver.port}/")
        with dispatching(Dispatcher(backends=backends, resolve=lambda h, p: [LOCAL])):
            one = settled(backends, mine)

    assert receiver.connections == 0
    assert (one.status, one.error) == ("failed", "it leads to an address that must not be called")


def test_a_name_is_resolved_once_and_the_checked_address_is_called(open_bench: Open) -> None:
    backends, asked = open_bench(), []

    def first_here_then_there(host: str, port: int) -> list[Address]:
        asked.append(host)
        return [LOCAL if len(asked) == 1 else ip_address("10.0.0.1")]

    with receiving(answering(200)) as receiver:
        [mine] = end(backends, f"http://hooks.example:{receiver.port}/")
        with dispatching(Dispatcher(backends=backends, resolve=first_here_then_there)):
            one = settled(backends, mine)

    assert asked == ["hooks.example"]
    assert receiver.received[0].headers["host"] == f"hooks.example:{receiver.port}"
    assert one.status == "succeeded"


def test_a_proxy_of_the_environment_is_not_used(
    open_bench: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    backends = open_bench()
    with receiving(answering(200)) as receiver:
        [mine] = end(backends, receiver.url)
        with dispatching(Dispatcher(backends=backends)):
            assert settled(backends, mine).status == "succeeded"


def test_what_a_killed_dispatcher_held_is_sent_by_another(open_bench: Open) -> None:
    backends = open_bench()
    with receiving(answering(200)) as receiver:
        [mine] = end(backends, receiver.url)
        with writing(backends.engine) as connection:
            claim(connection, worker="killed", limit=1, lease_s=0, busy=())
        with dispatching(Dispatcher(backends=backends)):
            one = settled(backends, mine)

    assert (one.status, one.attempts, len(receiver.received)) == ("succeeded", 2, 1)


def test_two_dispatchers_send_each_message_once(open_bench: Open) -> None:
    backends = open_bench()
    with receiving(answering(200)) as receiver:
        ids = end(backends, receiver.url, 60)
        one, two = (Dispatcher(backends=backends, name=name) for name in ("one", "two"))
        with dispatching(one), dispatching(two):
            receiver.wait_for(60)
            for mine in ids:
                settled(backends, mine)

    sent = [json.loads(got.body)["data"]["id"] for got in receiver.received]
    assert sorted(sent) == sorted(ids)


def test_dispatching_goes_on_when_the_database_was_away(
    open_bench: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    backends, real, looks = open_bench(), webhooks.deliveries.is_due, []

    def sometimes(connection: Any) -> bool:
        looks.append(1)
        if len(looks) == 1:
            raise ServiceError("unavailable", "the database does not answer")
        return real(connection)

    monkeypatch.setattr(webhooks.deliveries, "is_due", sometimes)
    with receiving(answering(200)) as receiver:
        [mine] = end(backends, receiver.url)
        with dispatching(Dispatcher(backends=backends)):
            assert settled(backends, mine).status == "succeeded"


def test_pauses_grow_as_they_are_set_and_the_receiver_may_lengthen_them() -> None:
    pauses = [5, 300, 1800]

    first = verdict_on(Answered(status=500), 1, pauses, lambda: 1.0)
    asked = verdict_on(Answered(status=429, retry_after_s=60), 1, pauses, lambda: 0.0)
    less = verdict_on(Answered(status=503, retry_after_s=1), 2, pauses, lambda: 0.0)
    ages = verdict_on(Answered(status=503, retry_after_s=10**9), 3, pauses, lambda: 0.0)
    last = verdict_on("no connection could be made", 4, pauses)

    assert [first.pause_s, asked.pause_s, less.pause_s, ages.pause_s] == [6.0, 60, 300, 86_400]
    assert (last.status, last.pause_s) == ("failed", None)
