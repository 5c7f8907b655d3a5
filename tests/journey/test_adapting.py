"""POST /adapt in all its forms, from outside."""

import json

import httpx
import numpy as np
import pytest

from tests.journey.requests import (
    NAMES,
    OMNIGLOT,
    adapt,
    characters,
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


def test_an_adaptation_is_answered_whole(client: httpx.Client) -> None:
    extra = {"name": "my letters", "metadata": {"user": "42"}, "ttl_seconds": 3600}

    answer = client.post("/adapt", json=characters(**extra))

    one = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/adaptations/{one['id']}"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert one["id"].startswith("ad_")
    assert len(one["id"]) >= 3 + 32  # 128 random bits
    asked = ("object", "status", "classes", "adapts", "steps", "name", "metadata")
    assert {key: one[key] for key in asked} == {
        "object": "adaptation",
        "status": "succeeded",
        "classes": list(NAMES),
        "adapts": "kernel",
        "steps": 1,
        "name": "my letters",
        "metadata": {"user": "42"},
    }
    assert one["checkpoint"]["name"] == OMNIGLOT
    assert (one["support_examples"], one["attempts"], one["error"]) == (5, 1, None)
    losses = one["metrics"]["support_loss"]
    assert losses == [losses[0]] * 2  # of one drawing each there is nothing to fit
    assert client.get(answer.headers["location"]).json() == one


def test_arrays_pictures_and_a_form_of_files_are_the_same_support_set(
    client: httpx.Client,
) -> None:
    arrays = characters()
    arrays["support"]["inputs"] = [pixels(drawing(name, 1)).tolist() for name in NAMES]
    with_axis = characters()
    with_axis["support"]["inputs"] = [[pixels(drawing(name, 1)).tolist()] for name in NAMES]
    form = [
        ("request", (None, json.dumps({"checkpoint": OMNIGLOT}), "application/json")),
        *((f"support[{name}]", ("x.png", drawing(name, 1), "image/png")) for name in NAMES),
    ]

    pictures = adapt(client, characters())
    others = [adapt(client, arrays), adapt(client, with_axis)]
    posted = client.post("/adapt", files=form)

    assert posted.status_code == 201, posted.text
    expected = table(predict(client, pictures, queries()["inputs"]))
    for other in [*others, posted.json()]:
        assert other["classes"] == list(NAMES)
        assert other["metrics"]["support_loss"] == pytest.approx(
            pictures["metrics"]["support_loss"], abs=1e-5
        )
        found = table(predict(client, other, queries()["inputs"]))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_query_in_the_same_call_is_predicted_and_scored(client: httpx.Client) -> None:
    query = queries()

    one = adapt(client, characters(query=query))

    labels = [prediction["label"] for prediction in one["predictions"]]
    right = np.mean([a == b for a, b in zip(labels, query["targets"], strict=True)])
    assert one["metrics"]["query_accuracy"] == pytest.approx(right)
    assert right >= 0.8  # 15 drawings in plain, very different characters
    assert 0 <= one["metrics"]["query_accuracy_before"] <= 1
    later = predict(client, one, query["inputs"])
    assert [prediction["label"] for prediction in later] == labels
    np.testing.assert_allclose(table(later), table(one["predictions"]), atol=1e-5)
    np.testing.assert_allclose(table(later).sum(axis=1), 1, atol=1e-6)


def test_a_regressions_query_is_scored_before_and_after(client: httpx.Client) -> None:
    x = np.linspace(-3, 3, 20)
    y = 2 * np.sin(x - 0.5)
    query = {"inputs": x.tolist(), "targets": y.tolist()}

    one = adapt(client, sine(10, query=query))

    untouched = client.post("/predict", json={"checkpoint": "sinusoid", "inputs": x.tolist()})
    before = np.mean((table(untouched.json()["predictions"])[:, 0] - y) ** 2)
    after = np.mean((table(one["predictions"])[:, 0] - y) ** 2)
    assert one["metrics"]["query_mse"] == pytest.approx(after, rel=1e-4)
    assert one["metrics"]["query_mse_before"] == pytest.approx(before, rel=1e-4)
    assert after < before / 2


def test_with_no_steps_a_regression_is_the_checkpoint_itself(client: httpx.Client) -> None:
    x = [-2.0, 0.0, 1.5]

    one = adapt(client, sine(steps=0))

    assert len(one["metrics"]["support_loss"]) == 1
    untouched = client.post("/predict", json={"checkpoint": "sinusoid", "inputs": x}).json()
    assert untouched["checkpoint"] == one["checkpoint"]
    expected = table(untouched["predictions"])
    np.testing.assert_allclose(table(predict(client, one, x)), expected, atol=1e-6)


def test_extending_is_adapting_to_both_support_sets_together(client: httpx.Client) -> None:
    whole = characters(shots=2)
    first, second = characters(), characters()
    for key in ("inputs", "targets"):
        first["support"][key] = whole["support"][key][:3]
        second["support"][key] = whole["support"][key][3:]
    del second["checkpoint"]

    base = adapt(client, first)
    extended = adapt(client, second | {"extends": base["id"]})
    at_once = adapt(client, whole)

    assert base["classes"] == list(NAMES[:3])
    assert extended["id"] != base["id"]
    assert (extended["classes"], extended["support_examples"]) == (list(NAMES), 10)
    assert extended["metrics"]["support_loss"] == pytest.approx(
        at_once["metrics"]["support_loss"], abs=1e-5
    )
    expected = table(predict(client, at_once, queries()["inputs"]))
    found = table(predict(client, extended, queries()["inputs"]))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_assessing_leaves_each_example_out_once(client: httpx.Client) -> None:
    body = characters(shots=2, assess=True)

    one = adapt(client, body)

    hits = []
    for index, target in enumerate(body["support"]["targets"]):
        rest = characters(shots=2)
        left_out = rest["support"]["inputs"].pop(index)
        rest["support"]["targets"].pop(index)
        hits.append(predict_one(client, adapt(client, rest), left_out)["label"] == target)
    assert one["metrics"]["leave_one_out_accuracy"] == pytest.approx(np.mean(hits))
    assessed = one["metrics"]["assessed"]
    assert set(assessed) == {"kernel", "head", "all", "unadapted", "nearest_neighbour"}
    assert assessed["kernel"] == one["metrics"]["leave_one_out_accuracy"]
    assert one["metrics"]["best"] in assessed


def test_classes_are_named_by_strings_or_by_integers_that_become_strings(
    client: httpx.Client,
) -> None:
    body = characters()
    body["support"]["targets"] = [7, -1, "\u00e9", "<b>", "e\u0301 x"]

    one = adapt(client, body)

    assert one["classes"] == ["7", "-1", "\u00e9", "<b>", "\u00e9 x"]
    assert set(predict_one(client, one, body["support"]["inputs"][0])["probabilities"]) == set(
        one["classes"]
    )


def test_fewer_classes_and_unequal_shots_are_welcome(client: httpx.Client) -> None:
    body = characters(shots=2)
    for key in ("inputs", "targets"):
        body["support"][key] = [body["support"][key][i] for i in (0, 1, 5)]

    one = adapt(client, body)

    assert one["classes"] == list(NAMES[:2])
    assert predict_one(client, one, body["support"]["inputs"][2])["label"] == NAMES[0]


def test_a_diverged_adaptation_has_ended_with_its_reason(client: httpx.Client) -> None:
    body = {"checkpoint": "sinusoid", "support": {"inputs": [1.0], "targets": [1e30]}}

    answer = client.post("/adapt", json=body)

    one = answer.json()
    assert answer.status_code == 201
    assert (one["status"], one["error"]["code"]) == ("failed", "diverged")
    assert one["attempts"] == 1
    refused = client.get("/predict", params={"adaptation": one["id"], "input": "1"})
    assert refusal(refused) == (409, "adaptation-failed")
    assert "diverged" in refused.json()["detail"]
    extended = client.post("/adapt", json=sine(checkpoint=None, extends=one["id"]))
    assert refusal(extended) == (409, "adaptation-failed")


def test_identical_examples_of_no_variance_give_numbers(client: httpx.Client) -> None:
    body = characters()
    body["support"]["inputs"] = [np.zeros((28, 28)).tolist()] * 5

    one = adapt(client, body)

    assert np.isfinite(one["metrics"]["support_loss"]).all()
    found = table([predict_one(client, one, pixels(drawing("kem", 1)).tolist())])
    assert np.isfinite(found).all()
    assert found.sum() == pytest.approx(1)
