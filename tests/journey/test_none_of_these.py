"""An input of no class of a support set is said to be so, over HTTP, and gets no label if asked."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from tests.journey.requests import adapt, predict, predict_one, refusal, sine

pytestmark = pytest.mark.e2e

WIDTH = 12
NEAR, FAR = [0, 1, 2], [3, 4]  # of the queries


def support(shots: int = 4) -> dict[str, Any]:
    """Vectors about three corners."""
    random, y = np.random.default_rng(4), np.arange(3 * shots) % 3
    x = 6 * np.eye(3, WIDTH)[y] + random.normal(size=(3 * shots, WIDTH))
    return {"inputs": x.round(3).tolist(), "targets": ["abc"[label] for label in y]}


def queries() -> list[list[float]]:
    """One of each class, one of another corner and one of nowhere."""
    random = np.random.default_rng(5)
    corners = 6 * np.eye(4, WIDTH) + random.normal(size=(4, WIDTH)) / 2
    return [*corners.round(3).tolist(), [1e6] * WIDTH]


def vectors(**changes: Any) -> dict[str, Any]:
    return {"checkpoint": "vectors", "support": support()} | changes


def test_every_door_tells_which_inputs_are_like_none_of_the_support(client: httpx.Client) -> None:
    one = adapt(client, vectors(query={"inputs": queries()}))
    answer = client.post("/predict", json={"adaptation": one["id"], "inputs": queries()}).json()
    [alone] = [predict_one(client, one, queries()[3])]

    for worked, told in zip(one["predictions"], answer["predictions"], strict=True):
        assert told["label"] == worked["label"]
        assert told["novelty"] == pytest.approx(worked["novelty"], abs=1e-3)
        assert told["probability"] == pytest.approx(worked["probability"], abs=1e-3)
    novelties = [told["novelty"] for told in answer["predictions"]]
    assert max(novelties[i] for i in NEAR) < 0.95 < min(novelties[i] for i in FAR)
    assert novelties[3] <= novelties[4] <= 1
    assert alone["novelty"] == pytest.approx(novelties[3], abs=1e-3)
    assert answer["predictions"][4]["probability"] < 0.9
    pointers = [(said["code"], said["pointer"]) for said in answer["warnings"]]
    assert pointers == [("unlike-all", "/inputs/3"), ("unlike-all", "/inputs/4")]
    assert [said["pointer"] for said in one["warnings"]] == ["/query/inputs/3", "/query/inputs/4"]


def test_a_label_is_withheld_where_that_is_asked_for(client: httpx.Client) -> None:
    one = adapt(client, vectors())

    plain = predict(client, one, queries())
    rejected = predict(client, one, queries(), reject=True)
    url = {"adaptation": one["id"], "input": json.dumps(queries()[4]), "reject": "true"}
    [in_url] = client.get("/predict", params=url).json()["predictions"]

    assert [told["label"] for told in plain[:3]] == list("abc")
    assert [told["label"] for told in rejected] == ["a", "b", "c", None, None]
    for asked, told in zip(plain, rejected, strict=True):
        assert told | {"label": asked["label"]} == asked
    assert in_url["label"] is None


def test_what_is_like_its_support_comes_without_a_word(client: httpx.Client) -> None:
    one = adapt(client, vectors(query={"inputs": queries()[:3]}))

    answer = client.post("/predict", json={"adaptation": one["id"], "inputs": queries()[:3]})

    assert one["warnings"] == []
    assert "warnings" not in answer.json()


def test_warnings_of_queries_are_not_those_of_who_extends(client: httpx.Client) -> None:
    one = adapt(client, vectors(query={"inputs": queries()}))

    longer = adapt(client, {"extends": one["id"], "support": support(shots=1)})

    assert len(one["warnings"]) == 2
    assert longer["warnings"] == []


def test_where_nothing_tells_novelty_is_null_and_nothing_is_rejected(client: httpx.Client) -> None:
    one = adapt(client, vectors(support=support(shots=1)))

    told = predict(client, one, queries(), reject=True)

    assert [one["novelty"] for one in told] == [None] * 5
    assert None not in [one["label"] for one in told]


def test_only_a_classifier_can_reject_and_only_true_or_false_is_asked(
    client: httpx.Client,
) -> None:
    wave, letters = adapt(client, sine()), adapt(client, vectors())
    asked = {"input": "1.0", "reject": "true"}

    for answer in (
        client.get("/predict", params=asked | {"adaptation": wave["id"]}),
        client.get("/predict", params=asked | {"checkpoint": "sinusoid"}),
        client.post("/predict", json={"adaptation": wave["id"], "inputs": [1], "reject": True}),
        client.get("/predict", params=asked | {"adaptation": letters["id"], "reject": "maybe"}),
        client.post("/predict", json={"adaptation": letters["id"], "inputs": [], "reject": 1}),
    ):
        assert refusal(answer) == (422, "validation")
        assert any(error["pointer"] == "/reject" for error in answer.json()["errors"])
