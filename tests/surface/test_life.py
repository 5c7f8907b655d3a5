"""The life of adaptations over HTTP: listed, changed, extended, cancelled, deleted."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.journey.requests import (
    adapt,
    characters,
    data_url,
    drawing,
    predict_one,
    refusal,
    sine,
)

UNKNOWN = "ad_" + "0" * 32

Json = dict[str, Any]


def page(client: httpx.Client, **query: Any) -> Json:
    answer = client.get("/adaptations", params=query)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    assert found["object"] == "list"
    assert (found["next"] is not None) == found["has_more"]
    return found


def tagged(client: httpx.Client, count: int) -> tuple[str, list[str]]:
    """A value of metadata that is new, and the ids of so many adaptations with it, newest first."""
    tag = uuid4().hex
    made = [
        adapt(client, sine(5 + i % 2, phase=i / 7, metadata={"tag": tag, "number": str(i)}))["id"]
        for i in range(count)
    ]
    return tag, made[::-1]


def test_a_list_goes_through_all_parts_whatever_is_added_meanwhile(client: httpx.Client) -> None:
    tag, made = tagged(client, 5)

    first = page(client, limit=2, **{"metadata[tag]": tag})
    adapt(client, sine(6, metadata={"tag": tag}))
    second = page(client, limit=2, after=first["next"], **{"metadata[tag]": tag})
    third = page(client, limit=2, after=second["next"], **{"metadata[tag]": tag})

    found = [one["id"] for part in (first, second, third) for one in part["data"]]
    assert found == made
    assert third["next"] is None
    assert first["data"][0] == client.get(f"/adaptations/{made[0]}").json()


def test_filters_hold_together(client: httpx.Client) -> None:
    tag, made = tagged(client, 2)
    both = {"metadata[tag]": tag, "metadata[number]": "1"}

    assert [one["id"] for one in page(client, **both)["data"]] == made[:1]
    assert [one["id"] for one in page(client, status="succeeded", **both)["data"]] == made[:1]
    assert page(client, status="failed", **both)["data"] == []
    assert len(page(client, checkpoint="sinusoid:1", **both)["data"]) == 1
    assert page(client, checkpoint="sinusoid:2", **both)["data"] == []
    assert page(client, **{"metadata[tag]": "' OR 1=1--"})["data"] == []


def test_twenty_are_listed_unless_more_are_asked_for(client: httpx.Client) -> None:
    tag = uuid4().hex
    bodies = [sine(5, phase=i / 10, metadata={"tag": tag}) for i in range(25)]
    answer = client.post(
        "/adaptations:batch",
        content="\n".join(json.dumps(body) for body in bodies),
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert answer.status_code == 200

    assert len(page(client, **{"metadata[tag]": tag})["data"]) == 20
    assert len(page(client, limit=100, **{"metadata[tag]": tag})["data"]) == 25


def test_a_change_leaves_out_what_is_left_out_and_null_takes_away(client: httpx.Client) -> None:
    made = adapt(client, sine(name="old", metadata={"a": "1"}, ttl_seconds=3600))
    path = f"/adaptations/{made['id']}"

    renamed = client.patch(path, json={"name": "new"}).json()
    cleared = client.patch(path, json={"metadata": {"b": "2"}, "ttl_seconds": None}).json()
    emptied = client.patch(path, json={"name": None, "metadata": None}).json()

    assert renamed == made | {"name": "new"}
    assert cleared == renamed | {"metadata": {"b": "2"}, "expires_at": None}
    assert emptied == cleared | {"name": None, "metadata": {}}
    assert client.get(path).json() == emptied


def test_a_new_time_to_live_is_kept_to(client: httpx.Client) -> None:
    made = adapt(client, sine(ttl_seconds=3600))
    predict_one(client, made, 0.5)  # every process that predicts remembers it from now on

    changed = client.patch(f"/adaptations/{made['id']}", json={"ttl_seconds": 1}).json()

    left = datetime.fromisoformat(changed["expires_at"]) - datetime.now(UTC)
    assert timedelta(0) < left <= timedelta(seconds=1)
    time.sleep(1.2)
    answer = client.get("/predict", params={"adaptation": made["id"], "input": "0.5"})
    assert refusal(answer) == (410, "expired")
    assert refusal(client.patch(f"/adaptations/{made['id']}", json={"ttl_seconds": 60})) == (
        410,
        "expired",
    )


@pytest.mark.parametrize(
    "body", [{"status": "succeeded"}, {"steps": 9}, {"ttl_seconds": -5}, {"name": "a\nb"}, []]
)
def test_what_cannot_be_changed_changes_nothing(client: httpx.Client, body: Any) -> None:
    made = adapt(client, sine())

    assert refusal(client.patch(f"/adaptations/{made['id']}", json=body)) == (422, "validation")

    assert client.get(f"/adaptations/{made['id']}").json() == made


def test_what_is_deleted_is_as_if_it_had_never_been(client: httpx.Client) -> None:
    made = adapt(client, sine(), **{"Idempotency-Key": uuid4().hex})
    predict_one(client, made, 0.5)

    assert client.delete(f"/adaptations/{made['id']}").status_code == 204

    for method, path in (
        ("GET", "/adaptations/{}"),
        ("GET", "/adaptations/{}/parameters?format=safetensors"),
        ("GET", "/predict?input=0.5&adaptation={}"),
        ("DELETE", "/adaptations/{}"),
        ("PATCH", "/adaptations/{}"),
        ("POST", "/adaptations/{}/cancel"),
    ):
        body = {"json": {"name": "x"}} if method == "PATCH" else {}
        gone = client.request(method, path.format(made["id"]), **body)
        assert refusal(gone) == (404, "not-found"), path
        assert gone.content == client.request(method, path.format(UNKNOWN), **body).content
    extending = sine() | {"extends": made["id"]}
    del extending["checkpoint"]
    assert refusal(client.post("/adapt", json=extending)) == (404, "not-found")


def slow(client: httpx.Client) -> Json:
    """An adaptation that takes some seconds: a comparison of every way on many pictures."""
    names = ("dalu", "kem", "noshi", "peru", "tavo")
    shown = [(name, number) for name in names for number in range(1, 6)]
    support = {
        "inputs": [data_url(drawing(name, number)) for name, number in shown],
        "targets": [name for name, _ in shown],
    }
    body = {
        "checkpoint": "omniglot-5way-5shot",
        "support": support,
        "adapts": "all",
        "steps": 20,
        "assess": True,
        "metadata": {"one": uuid4().hex},
    }
    body["support"]["inputs"] = support["inputs"][::-1]
    body["support"]["targets"] = support["targets"][::-1]
    answer = client.post("/adapt", json=body, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    placed: Json = answer.json()
    return placed


def until_it_runs(client: httpx.Client, adaptation: Json) -> None:
    deadline = time.monotonic() + 30
    while client.get(f"/adaptations/{adaptation['id']}").json()["status"] == "queued":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_runs_is_cancelled_and_the_worker_is_free_at_once(client: httpx.Client) -> None:
    running = slow(client)
    until_it_runs(client, running)
    ended: list[Json] = []
    path = f"/adaptations/{running['id']}"
    waiter = threading.Thread(
        target=lambda: ended.append(
            httpx.get(f"{client.base_url}{path}?wait=60", timeout=90).json()
        )
    )
    waiter.start()
    time.sleep(0.2)

    cancelled = client.post(f"{path}/cancel")

    assert cancelled.status_code == 200, cancelled.text
    assert cancelled.json()["status"] == "cancelled"
    waiter.join(timeout=5)
    assert [one["status"] for one in ended] == ["cancelled"]
    assert client.post(f"{path}/cancel").json() == cancelled.json()
    answer = client.get("/predict", params={"adaptation": running["id"], "input": "0"})
    assert refusal(answer) == (409, "adaptation-failed")
    assert "cancelled" in answer.json()["detail"]
    started = time.monotonic()
    adapt(client, sine(5, phase=time.time() % 3))
    assert time.monotonic() - started < 10


def test_who_waits_for_what_is_deleted_is_told_so(client: httpx.Client) -> None:
    running = slow(client)
    until_it_runs(client, running)
    answers: list[httpx.Response] = []
    path = f"/adaptations/{running['id']}"
    waiter = threading.Thread(
        target=lambda: answers.append(httpx.get(f"{client.base_url}{path}?wait=60", timeout=90))
    )
    waiter.start()
    time.sleep(0.2)

    assert client.delete(path).status_code == 204

    waiter.join(timeout=5)
    assert [refusal(answer) for answer in answers] == [(404, "not-found")]


def test_what_ended_cannot_be_cancelled(client: httpx.Client) -> None:
    made = adapt(client, sine())

    assert refusal(client.post(f"/adaptations/{made['id']}/cancel")) == (409, "conflict")
    assert client.get(f"/adaptations/{made['id']}").json() == made


def test_more_examples_start_again_from_theta_on_all_of_them(client: httpx.Client) -> None:
    first = adapt(client, sine(5))
    more = {"inputs": [4.5, -4.5], "targets": [-1.5, 1.9]}

    extended = adapt(client, {"extends": first["id"], "support": more})

    whole = sine(5)
    whole["support"]["inputs"] += more["inputs"]
    whole["support"]["targets"] += more["targets"]
    at_once = adapt(client, whole)
    assert extended["extends"] == first["id"]
    assert at_once["extends"] is None
    assert extended["support_examples"] == 7
    assert predict_one(client, extended, 2.5)["value"] == pytest.approx(
        predict_one(client, at_once, 2.5)["value"], abs=1e-5
    )


def test_a_class_is_added_later(client: httpx.Client) -> None:
    body = characters()
    for part in ("inputs", "targets"):
        body["support"][part] = body["support"][part][:4]
    four = adapt(client, body)
    fifth = {"inputs": [data_url(drawing("tavo", 1))], "targets": ["tavo"]}

    five = adapt(client, {"extends": four["id"], "support": fifth})

    assert five["classes"] == [*four["classes"], "tavo"]
    assert predict_one(client, five, data_url(drawing("tavo", 2)))["label"] == "tavo"
    sixth = {"inputs": [data_url(drawing("zil", 1))], "targets": ["zil"]}
    answer = client.post("/adapt", json={"extends": five["id"], "support": sixth})
    assert refusal(answer) == (422, "too-many-classes")


def test_what_did_not_end_well_cannot_be_extended(client: httpx.Client) -> None:
    running = slow(client)
    assert client.post(f"/adaptations/{running['id']}/cancel").status_code == 200

    body = {
        "extends": running["id"],
        "support": {"inputs": [data_url(drawing("kem", 1))], "targets": ["kem"]},
    }

    assert refusal(client.post("/adapt", json=body)) == (409, "adaptation-failed")


def test_an_adaptation_names_what_made_it(client: httpx.Client) -> None:
    made = adapt(client, sine(5, phase=2.2))["made_by"]

    assert made["device"] == "cpu"
    assert made["torch"].startswith("2.")
    assert made["fewstep"]
    assert made["recipe"]["steps"] == 10
