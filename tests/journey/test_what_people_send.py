"""Characters that the checkpoint never saw, sent as people send them: the answers are as good as
for clean drawings, or something is said.
"""

import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from benchmarks.altered import WAYS, Alter, data_url, nonsense, photographed
from tests.journey.requests import Json, adapt, predict

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ANY_WAY = "omniglot-anyway"
EPISODES, WAY, QUERIES = 16, 5, 3
SEED = 7
TEST_PAPERS = ("white", "cream", "bluish")


@pytest.fixture(scope="module")
def held_out(service: Any, drawings: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
    about = httpx.get(f"{service.base_url}/checkpoints/{ANY_WAY}").json()
    return {name: drawings[name] for name in about["provenance"]["data"]["test_classes"]}


def episode(held_out: dict[str, list[bytes]], alter: Alter, random: np.random.Generator) -> Json:
    """A body with five characters, one drawing of each, and three queries of each."""
    support: dict[str, list[str]] = {"inputs": [], "targets": []}
    query: dict[str, list[str]] = {"inputs": [], "targets": []}
    for name in random.choice(sorted(held_out), WAY, replace=False):
        for place, index in enumerate(random.permutation(20)[: 1 + QUERIES]):
            drawing = Image.open(io.BytesIO(held_out[name][index])).convert("L")
            part = query if place else support
            part["inputs"].append(data_url(alter(drawing, random)))
            part["targets"].append(str(name))
    return {"checkpoint": ANY_WAY, "support": support, "query": query}


def accuracy_and_confidence(
    client: httpx.Client,
    held_out: dict[str, list[bytes]],
    alter: Alter,
    episodes: int = EPISODES,
) -> tuple[float, float]:
    """The share of right answers, and of wrong ones among those that are surer than 0.9."""
    random = np.random.default_rng(SEED)
    right, sure = list[bool](), list[bool]()
    for _ in range(episodes):
        body = episode(held_out, alter, random)
        told = adapt(client, body)["predictions"]
        for one, name in zip(told, body["query"]["targets"], strict=True):
            right.append(one["label"] == name)
            if one["probability"] > 0.9:
                sure.append(one["label"] != name)
    return float(np.mean(right)), float(np.mean(sure or [False]))


@pytest.mark.parametrize("way", WAYS)
def test_drawings_are_told_apart_however_they_are_sent(
    client: httpx.Client, held_out: dict[str, list[bytes]], way: str
) -> None:
    right, wrong_and_sure = accuracy_and_confidence(client, held_out, WAYS[way])

    assert right >= 0.96  # clean: 0.991 ± 0.002 over 600 episodes
    assert wrong_and_sure <= 0.05


def test_photographs_are_told_apart(client: httpx.Client, held_out: dict[str, list[bytes]]) -> None:
    alter = photographed(TEST_PAPERS)
    right, wrong_and_sure = accuracy_and_confidence(client, held_out, alter, episodes=8)

    assert right >= 0.95
    assert wrong_and_sure <= 0.05


def clean(client: httpx.Client, held_out: dict[str, list[bytes]], **changes: Any) -> Json:
    body = episode(held_out, WAYS["as they are"], np.random.default_rng(SEED))
    return adapt(client, {key: body[key] for key in ("checkpoint", "support")} | changes)


@pytest.mark.parametrize("level", [0, 255])
def test_a_blank_query_is_said_to_be_blank_and_is_sure_of_nothing(
    client: httpx.Client, held_out: dict[str, list[bytes]], level: int
) -> None:
    one = clean(client, held_out)
    blank = data_url(Image.new("L", (105, 105), level))

    answer = client.post("/predict", json={"adaptation": one["id"], "inputs": [blank]}).json()

    assert "blank" in [said["code"] for said in answer["warnings"]]
    assert answer["predictions"][0]["probability"] <= 0.9


@pytest.mark.parametrize("what", ["a scribble", "noise", "a page"])
def test_what_is_no_character_of_these_is_not_answered_with_confidence(
    client: httpx.Client, held_out: dict[str, list[bytes]], what: str
) -> None:
    one = clean(client, held_out)
    random = np.random.default_rng(3)
    inputs = [
        data_url(page(held_out, random) if what == "a page" else nonsense(what, random))
        for _ in range(8)
    ]

    told = predict(client, one, inputs)

    assert np.mean([each["probability"] > 0.9 for each in told]) <= 0.25
    assert np.mean([each["novelty"] > 0.95 for each in told]) >= 0.75


def page(held_out: dict[str, list[bytes]], random: np.random.Generator) -> Image.Image:
    """Nine characters at once."""
    sheet = Image.new("L", (315, 315), 255)
    for place in range(9):
        name = str(random.choice(sorted(held_out)))
        drawing = Image.open(io.BytesIO(held_out[name][int(random.integers(20))]))
        sheet.paste(drawing.convert("L"), (place % 3 * 105, place // 3 * 105))
    return sheet


def test_what_is_doubtful_in_a_support_set_is_said(
    client: httpx.Client, held_out: dict[str, list[bytes]]
) -> None:
    names = sorted(held_out)[:3]
    a, b, c = (data_url(Image.open(io.BytesIO(held_out[name][0]))) for name in names)
    blank = data_url(Image.new("L", (105, 105), 255))
    support = {"inputs": [a, b, c, a, blank], "targets": ["kem", "dal", "kem ", "dal", "rho"]}

    one = adapt(client, {"checkpoint": ANY_WAY, "support": support})

    assert {(said["code"], said["pointer"]) for said in one["warnings"]} == {
        ("blank", "/support/inputs/4"),
        ("twin-labels", "/support/targets/2"),
        ("duplicate", "/support/inputs/3"),
    }
