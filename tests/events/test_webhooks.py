"""Webhooks of the service as it runs: told of the end, whoever is killed meanwhile."""

import json
import os
import signal
import time

import httpx
import pytest
from standardwebhooks import Webhook

from tests.events.conftest import Place
from tests.journey.requests import Json, adapt, refusal, sine
from tests.processes import processes_of
from tests.webhooks.receiver import answering, dripping, receiving

pytestmark = pytest.mark.e2e


def deliveries(client: httpx.Client, adaptation_id: str) -> list[Json]:
    page = client.get(f"/adaptations/{adaptation_id}/deliveries").json()
    assert (page["object"], page["has_more"], page["next"]) == ("list", False, None)
    found: list[Json] = page["data"]
    return found


def settled(client: httpx.Client, adaptation_id: str, *, within_s: float = 30) -> Json:
    """Its first delivery when it has ended."""
    deadline = time.monotonic() + within_s
    while (one := deliveries(client, adaptation_id)[0])["status"] in ("queued", "running"):
        assert time.monotonic() < deadline, one
        time.sleep(0.05)
    return one


def test_a_webhook_is_told_of_the_end_and_its_delivery_can_be_seen(
    client: httpx.Client,
) -> None:
    with receiving(answering(500), answering(200)) as receiver:
        mine = adapt(client, sine(webhook=receiver.url, metadata={"user": "42"}))
        one = settled(client, mine["id"])
        first, second = receiver.received

    secret = client.get("/webhook-secret").json()["secret"]
    told = Webhook(secret).verify(second.body, second.headers)
    assert mine["webhook"] == receiver.url
    assert told["type"] == "adaptation.succeeded"
    seen = client.get(f"/adaptations/{mine['id']}").json()
    assert {name: seen[name] for name in told["data"]} == told["data"]
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == one["id"]
    assert (one["status"], one["attempts"], one["answered"]) == ("succeeded", 2, 200)
    assert one["event"] == 3
    assert one["next_attempt_at"] is None


def test_an_adaptation_without_a_webhook_has_no_deliveries(client: httpx.Client) -> None:
    assert deliveries(client, adapt(client, sine())["id"]) == []


def test_a_failure_is_told_with_its_reason(client: httpx.Client) -> None:
    body = {"checkpoint": "sinusoid", "support": {"inputs": [1.0], "targets": [1e30]}}
    with receiving(answering(200)) as receiver:
        answer = client.post("/adapt", json=body | {"webhook": receiver.url})
        [got] = receiver.wait_for(1)

    told = json.loads(got.body)
    assert told["type"] == "adaptation.failed"
    assert told["data"]["error"] == answer.json()["error"]


def test_a_receiver_that_never_ends_holds_up_no_adaptation(client: httpx.Client) -> None:
    with receiving(dripping()) as receiver:
        for _ in range(6):
            client.post("/adapt", json=sine(webhook=receiver.url))
        receiver.wait_for(1)
        began = time.monotonic()
        adapt(client, sine(7))
        took = time.monotonic() - began

    assert took < 2


def test_the_secret_is_exchanged_once_a_day(client: httpx.Client) -> None:
    before = client.get("/webhook-secret").json()

    after = client.post("/webhook-secret/rotate").json()
    again = client.post("/webhook-secret/rotate")
    with receiving(answering(200)) as receiver:
        adapt(client, sine(webhook=receiver.url))
        [got] = receiver.wait_for(1)

    assert after["before"] == before["secret"] != after["secret"]
    assert after["before_until"] > after["since"] > before["since"]
    assert client.get("/webhook-secret").json() == after
    assert refusal(again) == (409, "conflict")
    for secret in (before["secret"], after["secret"]):
        Webhook(secret).verify(got.body, got.headers)


@pytest.mark.slow
def test_killing_the_dispatcher_while_it_sends_loses_nothing(
    place: Place, client: httpx.Client
) -> None:
    with receiving(dripping(), answering(200)) as receiver:
        mine = adapt(client, sine(webhook=receiver.url))
        receiver.wait_for(1)
        for process, command in processes_of(place.service.data_dir).items():
            if "worker.application" in command or "multiprocessing" in command:
                os.kill(process, signal.SIGKILL)
        one = settled(client, mine["id"], within_s=60)

    assert len({got.headers["webhook-id"] for got in receiver.received}) == 1
    assert len({got.body for got in receiver.received}) == 1
    assert (one["status"], one["answered"]) == ("succeeded", 200)
    assert one["attempts"] >= 2
