"""Waiting, not waiting, and asking again for the same thing."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.journey.requests import (
    NAMES,
    OMNIGLOT,
    Json,
    adapt,
    characters,
    drawing,
    refusal,
    sine,
)

pytestmark = pytest.mark.e2e


def slow() -> Json:
    """An adaptation that takes a worker a second or more."""
    return characters(shots=2, steps=100)


def wait_for(client: httpx.Client, adaptation_id: str) -> Json:
    ended: Json = client.get(f"/adaptations/{adaptation_id}", params={"wait": 60}).json()
    return ended


def test_who_does_not_want_to_wait_is_answered_at_once(client: httpx.Client) -> None:
    answer = client.post("/adapt", json=slow(), headers={"Prefer": "respond-async"})
    early = client.get("/predict", params={"adaptation": answer.json()["id"], "input": "[]"})

    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["location"] == f"/adaptations/{answer.json()['id']}"
    assert answer.json()["status"] in ("queued", "running")
    assert refusal(early) == (409, "not-ready")
    assert int(early.headers["retry-after"]) >= 1
    assert wait_for(client, answer.json()["id"])["status"] == "succeeded"


def test_a_wait_of_none_is_over_at_once_and_a_long_one_ends_with_the_work(
    client: httpx.Client,
) -> None:
    short = client.post("/adapt", json=slow(), headers={"Prefer": "wait=0"})
    started = time.monotonic()
    long = client.post("/adapt", json=sine(), headers={"Prefer": "wait=999999999"})

    assert (short.status_code, short.headers["preference-applied"]) == (202, "wait=0")
    assert (long.status_code, long.headers["preference-applied"]) == (201, "wait=60")
    assert time.monotonic() - started < 55
    assert wait_for(client, short.json()["id"])["status"] == "succeeded"


@pytest.mark.parametrize("wish", ["wait=-1", "wait=abc", "wait", "nonsense; x", "handling=strict"])
def test_a_wish_that_is_malformed_or_unknown_counts_not(client: httpx.Client, wish: str) -> None:
    answer = client.post("/adapt", json=sine(), headers={"Prefer": wish})

    assert answer.status_code == 201
    assert "preference-applied" not in answer.headers


def test_both_wishes_wait_up_to_the_time(client: httpx.Client) -> None:
    answer = client.post("/adapt", json=sine(), headers={"Prefer": "respond-async, wait=30"})

    assert answer.status_code == 201
    assert answer.headers["preference-applied"] == "respond-async, wait=30"


@pytest.mark.parametrize("wait", ["-1", "abc", "1.5", "61", "", "\u0665"])
def test_a_wait_in_the_url_is_checked(client: httpx.Client, wait: str) -> None:
    one = adapt(client, sine())

    answer = client.get(f"/adaptations/{one['id']}", params={"wait": wait})

    assert refusal(answer) == (422, "validation")


def test_a_key_and_equal_content_lead_to_the_first_adaptation(client: httpx.Client) -> None:
    body, key = sine(name="once"), {"Idempotency-Key": "k-replay"}
    reordered = json.dumps(dict(reversed(body.items())), indent=3)

    first = client.post("/adapt", json=body, headers=key)
    again = client.post(
        "/adapt",
        content=reordered,
        headers=key | {"Content-Type": "application/json", "Prefer": "wait=5"},
    )

    assert "idempotency-replayed" not in first.headers
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]


def test_a_key_and_other_content_are_refused_and_change_nothing(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "k-mismatch"}
    first = client.post("/adapt", json=sine(height=2.0), headers=key).json()

    other = client.post("/adapt", json=sine(height=2.000001), headers=key)

    assert refusal(other) == (422, "idempotency-mismatch")
    assert client.get(f"/adaptations/{first['id']}").json() == first


def test_a_form_sent_again_with_another_boundary_is_the_same(client: httpx.Client) -> None:
    form = [
        ("request", (None, json.dumps({"checkpoint": OMNIGLOT}), "application/json")),
        *((f"support[{name}]", ("x.png", drawing(name, 1), "image/png")) for name in NAMES),
    ]
    answers = [
        client.post(
            "/adapt",
            files=form,
            headers={
                "Idempotency-Key": "k-form",
                "Content-Type": f"multipart/form-data; boundary={boundary}",
            },
        )
        for boundary in ("one1", "two2")
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert answers[1].headers["idempotency-replayed"] == "true"


def test_the_same_key_many_times_at_once_makes_one_adaptation(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "k-parallel", "Prefer": "wait=60"}

    def post(_: int) -> httpx.Response:
        return client.post("/adapt", json=slow(), headers=key)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(post, range(12)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert {answer.json()["status"] for answer in answers} == {"succeeded"}
    replayed = [answer.headers.get("idempotency-replayed") for answer in answers]
    assert sorted(map(str, replayed)) == ["None"] + ["true"] * 11


def test_a_refused_request_does_not_use_its_key_up(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "k-refused"}
    wrong = sine() | {"steps": -1}

    refused = client.post("/adapt", json=wrong, headers=key)
    right = client.post("/adapt", json=sine(), headers=key)

    assert refusal(refused) == (422, "validation")
    assert right.status_code == 201
    assert "idempotency-replayed" not in right.headers


@pytest.mark.parametrize("key", ["", "a" * 256, "a b"])
def test_a_malformed_key_is_refused(client: httpx.Client, key: str) -> None:
    answer = client.post("/adapt", json=sine(), headers={"Idempotency-Key": key})

    assert refusal(answer) == (400, "bad-request")
