"""The imported MiniImagenet network, served: coloured surfaces it never saw, from one of each."""

import io
from collections.abc import Sequence

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.journey.requests import Json, adapt, data_url, predict, predict_one, refusal, table

pytestmark = pytest.mark.e2e
FINN = "miniimagenet-5way-1shot-finn2017"
SIDE = 84
COLOURS = {
    "brick": (178, 60, 44),
    "grass": (58, 140, 52),
    "water": (40, 96, 190),
    "sand": (226, 196, 120),
    "slate": (58, 60, 68),
}
SURFACES = [*COLOURS]


def surface(name: str, number: int, *, side: int = SIDE, form: str = "PNG") -> str:
    """A picture of a surface as a data URL: its colour and pattern, a little off in each."""
    hand = np.random.default_rng([SURFACES.index(name), number])
    down, across = np.mgrid[:side, :side] * (SIDE / side) + hand.uniform(0, 40, size=(2, 1, 1))
    shade = 0.85 + 0.3 * pattern(name, down, across) + hand.normal(0, 0.04, size=(side, side))
    colour = np.array(COLOURS[name]) * hand.uniform(0.9, 1.1) + hand.normal(0, 6, size=3)
    pixels = np.clip(shade[..., None] * colour, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return data_url(file.getvalue())


def pattern(name: str, down: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where the surface is lighter."""
    row = down // 12
    patterns = {
        "brick": (down % 12 > 2) & ((across + 10 * (row % 2)) % 20 > 2),
        "grass": (across + 3 * np.sin(down / 5)) % 6 > 3,
        "water": np.sin(down / 4 + np.sin(across / 9)) > 0,
        "sand": np.sin(across * 1.3) * np.sin(down * 1.1) > 0.3,
        "slate": (down + across) % 30 > 4,
    }
    return patterns[name]


def shown(names: Sequence[str], *, shots: int = 1, **more: object) -> Json:
    """A body that adapts to the first pictures of these surfaces."""
    pictures = [(name, number) for number in range(shots) for name in names]
    support = {
        "inputs": [surface(*one) for one in pictures],
        "targets": [name for name, _ in pictures],
    }
    return {"checkpoint": FINN, "support": support, **more}


def right(client: httpx.Client, adaptation: Json, names: Sequence[str]) -> float:
    """The share of held-out pictures that get their own name, four of each."""
    asked = [(name, number) for name in names for number in range(10, 14)]
    said = predict(client, adaptation, [surface(*one) for one in asked])
    return float(
        np.mean([one["label"] == name for one, (name, _) in zip(said, asked, strict=True)])
    )


@pytest.mark.parametrize("names", [SURFACES, SURFACES[:3], ["grass", "water"]])
def test_surfaces_it_never_saw_are_told_apart_from_one_picture_of_each(
    client: httpx.Client, names: list[str]
) -> None:
    adaptation = adapt(client, shown(names))

    assert right(client, adaptation, names) >= 0.9


def test_more_pictures_of_each_serve_too(client: httpx.Client) -> None:
    adaptation = adapt(client, shown(SURFACES, shots=3))

    assert right(client, adaptation, SURFACES) >= 0.9


def test_a_picture_alone_gets_the_answer_it_gets_among_others(client: httpx.Client) -> None:
    adaptation = adapt(client, shown(SURFACES))
    asked = [surface(name, 20) for name in SURFACES]

    together = table(predict(client, adaptation, asked))
    alone = table([predict_one(client, adaptation, one) for one in asked])

    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_larger_pictures_and_jpegs_are_shrunk_to_its_input(client: httpx.Client) -> None:
    adaptation = adapt(client, shown(SURFACES))

    asked = [surface(name, 30, side=252, form="JPEG") for name in SURFACES]
    asked = [url.replace("image/png", "image/jpeg") for url in asked]

    labels = [one["label"] for one in predict(client, adaptation, asked)]
    assert sum(label == name for label, name in zip(labels, SURFACES, strict=True)) >= 4


def test_a_sixth_class_is_refused(client: httpx.Client) -> None:
    body = shown(SURFACES)
    body["support"]["inputs"].append(surface("sand", 3))
    body["support"]["targets"].append("more sand")

    answer = client.post("/adapt", json=body)

    assert answer.status_code == 422, answer.text
    assert "5" in answer.json()["detail"]


def test_large_pictures_count_for_more_work(client: httpx.Client) -> None:
    """3 · 84 · 84 values are 27 drawings of 28 x 28: 70 · 11 · 27 is more than 20,000."""
    pictures = [surface(name, 1) for name in SURFACES] * 14
    support = {"inputs": pictures, "targets": [*SURFACES] * 14}

    answer = client.post("/adapt", json={"checkpoint": FINN, "support": support})

    assert refusal(answer) == (422, "budget-exceeded")
    assert "27" in answer.json()["errors"][0]["detail"]


def test_it_says_where_it_comes_from(client: httpx.Client) -> None:
    checkpoint = client.get(f"/checkpoints/{FINN}").json()

    assert checkpoint["provenance"]["source"]["repository"] == "https://github.com/cbfinn/maml"
    assert checkpoint["provenance"]["source"]["licence"] == "MIT"
    assert FINN in client.get("/checkpoints").text
