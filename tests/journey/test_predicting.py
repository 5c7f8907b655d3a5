"""GET and POST /predict: each prediction depends on its adaptation and its own input alone."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from tests.journey.requests import (
    NAMES,
    OMNIGLOT,
    adapt,
    characters,
    data_url,
    drawing,
    pixels,
    predict,
    predict_one,
    queries,
    refusal,
    sine,
    table,
)

pytestmark = pytest.mark.e2e


def test_a_prediction_alone_is_the_same_among_two_hundred_others(client: httpx.Client) -> None:
    one = adapt(client, characters())
    random = np.random.default_rng(3)
    strangers = (random.random((200, 28, 28)) * 5).round(3).tolist()
    mine = [pixels(drawing(name, 4)).tolist() for name in NAMES]

    alone = [predict_one(client, one, data_url(drawing(name, 4))) for name in NAMES]
    among = predict(client, one, strangers[:100] + mine + strangers[100:])[100:105]

    assert [a["label"] for a in among] == [a["label"] for a in alone]
    np.testing.assert_allclose(table(among), table(alone), atol=1e-5)


def test_a_number_alone_is_the_same_among_two_hundred_others(client: httpx.Client) -> None:
    one = adapt(client, sine())
    x = np.linspace(-5, 5, 201).tolist()

    among = table(predict(client, one, x))

    alone = table([predict_one(client, one, value) for value in x[::20]])
    np.testing.assert_allclose(among[::20], alone, atol=1e-5)


def test_predicting_at_once_for_two_adaptations_mixes_nothing(client: httpx.Client) -> None:
    low, high = (adapt(client, sine(phase=phase)) for phase in (0.2, 2.5))
    expected = {one["id"]: predict_one(client, one, 1.0)["value"] for one in (low, high)}

    def ask(number: int) -> bool:
        one = (low, high)[number % 2]
        value = predict_one(client, one, 1.0)["value"]
        return bool(np.allclose(value, expected[one["id"]], atol=1e-5))

    with ThreadPoolExecutor(8) as pool:
        same = list(pool.map(ask, range(200)))

    assert not np.allclose(*expected.values(), atol=0.1)
    assert same.count(False) == 0


def test_an_input_in_a_url_may_repeat_and_come_as_base64url(client: httpx.Client) -> None:
    one = adapt(client, characters())
    png = drawing("tavo", 3)
    urlsafe = base64.urlsafe_b64encode(png).decode().rstrip("=")

    answer = client.get(
        "/predict",
        params={
            "adaptation": one["id"],
            "input": [
                data_url(png),
                f"data:image/png;base64,{urlsafe}",
                json.dumps(pixels(png).tolist()),
            ],
        },
    )

    first, *others = answer.json()["predictions"]
    assert len(others) == 2
    assert first["probability"] == max(first["probabilities"].values())
    assert first["probabilities"][first["label"]] == first["probability"]
    for other in others:
        np.testing.assert_allclose(table([other]), table([first]), atol=1e-5)


def test_answers_on_a_kept_connection_are_not_held_back(client: httpx.Client) -> None:
    took = []
    for _ in range(60):
        started = time.perf_counter()
        assert client.get("/livez").status_code == 200
        took.append(time.perf_counter() - started)

    # A delayed acknowledgement costs 0.04 s each time, once a connection's first ones are over.
    assert min(took[30:]) < 0.03


def test_top_k_lists_the_likeliest_classes_only(client: httpx.Client) -> None:
    one = adapt(client, characters())
    inputs = queries()["inputs"][:3]

    whole, top = predict(client, one, inputs), predict(client, one, inputs, top_k=2)

    for all_of_them, two in zip(whole, top, strict=True):
        ranked = sorted(all_of_them["probabilities"], key=all_of_them["probabilities"].get)
        assert list(two["probabilities"]) == ranked[:-3:-1]
        assert two["label"] == all_of_them["label"]


def test_targets_are_scored(client: httpx.Client) -> None:
    one, query = adapt(client, characters()), queries()
    body = {"adaptation": one["id"], **query}

    answer = client.post("/predict", json=body).json()

    labels = [prediction["label"] for prediction in answer["predictions"]]
    right = np.mean([a == b for a, b in zip(labels, query["targets"], strict=True)])
    assert answer["metrics"]["query_accuracy"] == pytest.approx(right)


def test_a_score_beyond_float32_is_still_a_number(client: httpx.Client) -> None:
    body = {"adaptation": adapt(client, sine())["id"], "inputs": [1.0], "targets": [1e30]}

    answer = client.post("/predict", json=body)

    assert answer.json()["metrics"]["query_mse"] == pytest.approx(1e60, rel=1e-3)


def test_a_classifier_cannot_predict_before_it_is_adapted(client: httpx.Client) -> None:
    answer = client.get(
        "/predict", params={"checkpoint": OMNIGLOT, "input": data_url(drawing("kem", 1))}
    )

    assert refusal(answer) == (422, "needs-adaptation")


def test_one_bad_input_refuses_the_request_and_is_pointed_at(client: httpx.Client) -> None:
    one = adapt(client, sine())

    answer = client.post("/predict", json={"adaptation": one["id"], "inputs": [1.0, "x", 2.0]})

    assert refusal(answer) == (422, "validation")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/inputs/1"]


def test_a_prediction_that_is_no_float32_is_refused(client: httpx.Client) -> None:
    one = adapt(client, sine())

    answer = client.get("/predict", params={"adaptation": one["id"], "input": "3e38"})

    assert refusal(answer) == (422, "validation")
