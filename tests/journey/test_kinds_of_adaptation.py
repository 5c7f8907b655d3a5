"""What a caller may ask of an adaptation, over HTTP: head, kernel, all, auto, and none."""

import base64
import io
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageOps
from safetensors.numpy import load

from tests.journey.requests import adapt, data_url, drawing, predict_one, refusal

pytestmark = pytest.mark.e2e

TEAMS = {"dalu": "a", "kem": "a", "noshi": "a", "peru": "b", "tavo": "b", "zil": "b"}
ASKED = [(name, number) for name in TEAMS for number in (4, 5)]


def teams(**changes: Any) -> dict[str, Any]:
    """Two teams of three characters each, three drawings of every one."""
    order = [(name, number) for name in TEAMS for number in (1, 2, 3)]
    support = {
        "inputs": [drawing(*one) for one in order],
        "targets": [TEAMS[name] for name, _ in order],
    }
    return {"checkpoint": "omniglot-anyway", "support": encoded(support)} | changes


def encoded(support: dict[str, Any]) -> dict[str, Any]:
    return support | {"inputs": [data_url(data) for data in support["inputs"]]}


def query() -> dict[str, Any]:
    return encoded(
        {
            "inputs": [drawing(*one) for one in ASKED],
            "targets": [TEAMS[name] for name, _ in ASKED],
        }
    )


def test_teams_are_told_apart_by_default_and_no_loss_rises(client: httpx.Client) -> None:
    ways: dict[str, dict[str, Any]] = {
        name: adapt(client, teams(query=query(), **asked))
        for name, asked in {
            "default": {},
            "head": {"adapts": "head"},
            "all": {"adapts": "all"},
            "steps": {"steps": 4},
            "none": {"steps": 0},
        }.items()
    }

    made = {name: (one["adapts"], one["steps"]) for name, one in ways.items()}
    assert made == {
        "default": ("kernel", 1),
        "head": ("head", 50),
        "all": ("all", 3),
        "steps": ("all", 4),
        "none": ("kernel", 0),
    }
    for one in ways.values():
        losses = one["metrics"]["support_loss"]
        assert len(losses) == one["steps"] + 1
        assert all(after <= before for before, after in pairwise(losses))
    right = {name: one["metrics"]["query_accuracy"] for name, one in ways.items()}
    assert right["default"] >= right["none"]
    assert right["default"] == 1.0


@pytest.mark.parametrize("asked", [{"adapts": "head"}, {"adapts": "kernel"}, {"steps": 0}])
def test_without_the_body_a_prediction_is_what_the_whole_file_gives(
    client: httpx.Client, asked: dict[str, Any]
) -> None:
    """The worker's predictions, those of the API, and the exported file's size and names agree."""
    one = adapt(client, teams(query=query(), **asked))

    whole = client.get(f"/adaptations/{one['id']}/parameters", params={"format": "safetensors"})

    assert "blocks.3.conv.weight" in load(whole.content)
    answered = client.post(
        "/predict", json={"adaptation": one["id"], "inputs": query()["inputs"]}
    ).json()["predictions"]
    for told, worked in zip(answered, one["predictions"], strict=True):
        assert told["label"] == worked["label"]
        assert told["probability"] == pytest.approx(worked["probability"], abs=1e-5)


def test_auto_takes_what_leaving_out_says_is_best(client: httpx.Client) -> None:
    one = adapt(client, teams(adapts="auto", query=query()))

    metrics = one["metrics"]
    assert one["adapts"] == "auto"
    assert metrics["adapts"] in ("kernel", "head", "all", "unadapted")
    assert metrics["assessed"][metrics["adapts"]] >= metrics["assessed"]["unadapted"]
    assert metrics["query_accuracy"] == 1.0


def test_a_step_of_the_head_is_no_longer_than_what_is_safe(client: httpx.Client) -> None:
    one = adapt(client, teams(adapts="head", step_size=1e6))

    assert one["step_size"] == 1e6
    assert one["metrics"]["step_size_taken"] < 1e3
    losses = one["metrics"]["support_loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("asked", "pointer", "code"),
    [
        ({"adapts": "kernel", "steps": 5}, "/steps", "not-adjustable"),
        ({"adapts": "kernel", "step_size": 0.1}, "/step_size", "not-adjustable"),
        ({"adapts": "auto", "steps": 2}, "/steps", "not-adjustable"),
        ({"adapts": "bayesian"}, "/adapts", "validation"),
        ({"adapts": "body"}, "/adapts", "validation"),
    ],
)
def test_what_a_way_has_no_use_for_is_refused(
    client: httpx.Client, asked: dict[str, Any], pointer: str, code: str
) -> None:
    answer = client.post("/adapt", json=teams(**asked))

    problem = answer.json()
    assert answer.status_code == 422
    assert problem["code"] == code
    assert problem["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("width", [3, 384])
def test_vectors_of_any_width_are_told_apart(client: httpx.Client, width: int) -> None:
    """Two classes of two clusters each, crosswise, so that their means are the same."""
    random = np.random.default_rng(width)
    middles = random.normal(0, 3, (2, width))
    middles = np.concatenate([middles, -middles])  # a, b, a, b
    x = (middles[:, None] + random.normal(0, 0.5, (4, 3, width))).round(3)
    names = [name for name in "abab" for _ in range(3)]
    support = {"inputs": x.reshape(-1, width).tolist(), "targets": names}
    asked = (middles[:, None] + random.normal(0, 0.5, (4, 3, width))).reshape(-1, width)
    query = {"inputs": asked.round(3).tolist(), "targets": names}

    one = adapt(client, {"checkpoint": "vectors", "support": support, "query": query})
    means = adapt(client, {"checkpoint": "vectors", "support": support, "query": query, "steps": 0})

    assert one["metrics"]["query_accuracy"] == 1.0
    assert means["metrics"]["query_accuracy"] < 1.0
    wrong = client.post("/predict", json={"adaptation": one["id"], "inputs": [[0.0, 1.0]]})
    assert wrong.status_code == 422
    assert f"[{width}]" in wrong.json()["errors"][0]["detail"]


def test_vectors_have_one_width(client: httpx.Client) -> None:
    support = {"inputs": [[1.0, 2.0], [1.0, 2.0, 3.0]], "targets": ["a", "b"]}

    problem = client.post("/adapt", json={"checkpoint": "vectors", "support": support}).json()

    assert problem["code"] == "shape-mismatch"
    assert problem["errors"][0]["pointer"] == "/support/inputs/1"


def test_more_vectors_extend_those_that_are_there(client: httpx.Client) -> None:
    support = {"inputs": [[1.0, 2.0], [-1.0, 2.0]], "targets": ["a", "b"]}
    one = adapt(client, {"checkpoint": "vectors", "support": support})

    more = adapt(
        client, {"extends": one["id"], "support": {"inputs": [[3.0, 9.0]], "targets": ["c"]}}
    )
    other = client.post(
        "/adapt", json={"extends": one["id"], "support": {"inputs": [[3.0]], "targets": ["c"]}}
    )

    assert more["classes"] == ["a", "b", "c"]
    assert other.status_code == 422


def test_a_curve_comes_with_how_sure_each_value_is(client: httpx.Client) -> None:
    x = [-1.0, -0.5, 0.0, 0.5, 1.0]
    support = {"inputs": x, "targets": [2 * number + 1 for number in x]}
    one = adapt(client, {"checkpoint": "curves", "support": support})

    inside = predict_one(client, one, 0.25)
    beyond = predict_one(client, one, 1.9)

    assert one["adapts"] == "bayesian"
    assert inside["value"][0] == pytest.approx(1.5, abs=0.15)
    assert 0 < inside["standard_deviation"][0] < beyond["standard_deviation"][0]


def test_a_curve_nobody_measured_is_as_unsure_as_can_be(client: httpx.Client) -> None:
    before = client.post("/predict", json={"checkpoint": "curves", "inputs": [0.25]}).json()

    assert before["predictions"][0]["standard_deviation"][0] > 0.5


def test_light_on_dark_is_read_as_dark_on_light(client: httpx.Client) -> None:
    """The same drawings as negatives get the same answers; each was seen for itself."""
    order = teams(query=query())
    right = adapt(client, order)
    turned = {
        key: {**order[key], "inputs": [negative(url) for url in order[key]["inputs"]]}
        for key in ("support", "query")
    }

    one = adapt(client, order | turned)

    assert of_support(right) == []
    assert of_support(one) == []
    assert one["metrics"]["support_loss"] == pytest.approx(
        right["metrics"]["support_loss"], abs=1e-3
    )
    later = client.post(
        "/predict", json={"adaptation": one["id"], "inputs": turned["query"]["inputs"]}
    ).json()["predictions"]
    assert [told["label"] for told in later] == [TEAMS[name] for name, _ in ASKED]


def of_support(adaptation: dict[str, Any]) -> list[str]:
    """What was said of it: one query in twenty is unlike it by chance."""
    said = adaptation["warnings"]
    return [one["code"] for one in said if one["pointer"].startswith("/support")]


def negative(url: str) -> str:
    picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("L")
    file = io.BytesIO()
    ImageOps.invert(picture).save(file, "PNG")
    return data_url(file.getvalue())


def test_vectors_that_one_column_outweighs_are_adapted_to_and_said_to_be(
    client: httpx.Client,
) -> None:
    draw = np.random.default_rng(3)
    x = np.repeat(np.eye(2, 12), 4, axis=0) * 3 + draw.normal(size=(8, 12))
    x[:, 5] = 1.7e9 + draw.integers(0, 10**7, size=8)
    targets = [name for name in "ab" for _ in range(4)]

    one, plain = (
        adapt(
            client,
            {"checkpoint": "vectors", "support": {"inputs": sent.tolist(), "targets": targets}},
        )
        for sent in (x, np.delete(x, 5, axis=1))
    )

    assert plain["warnings"] == []
    [warning] = one["warnings"]
    assert (warning["code"], warning["pointer"]) == ("dominant-column", "/support/inputs")
    assert warning["detail"].startswith("column 5 ")


def test_points_at_times_that_float32_holds_as_one_are_refused(client: httpx.Client) -> None:
    times = [1_700_000_000_000 + 20 * step for step in range(6)]
    support = {"inputs": times, "targets": [0.1, 0.3, 0.2, 0.4, 0.3, 0.5]}

    answer = client.post("/adapt", json={"checkpoint": "curves", "support": support})

    assert refusal(answer) == (422, "validation")
    assert answer.json()["errors"][0]["pointer"] == "/support/inputs"
