"""The authors' MiniImagenet network adapts and serves like any other: colour pictures."""

import io

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.journey.requests import adapt, data_url, predict_one

pytestmark = [pytest.mark.e2e]
NAME = "miniimagenet-5way-1shot-finn2017"
PATTERNS = ("waves", "rings", "checks", "dots", "plain")
COLOURS = {
    "waves": (200, 60, 40),
    "rings": (40, 160, 60),
    "checks": (50, 70, 200),
    "dots": (220, 200, 50),
    "plain": (120, 120, 120),
}


def picture(pattern: str, seed: int) -> str:
    """A PNG of a pattern in its colour, with noise, shifted and scaled by its seed."""
    draw = np.random.default_rng([seed, PATTERNS.index(pattern)])
    y, x = np.mgrid[0:84, 0:84] / 84 + draw.random(2)[:, None, None] * 0.3
    size = 1 + draw.random() * 0.2
    light = {
        "waves": np.sin(40 * size * x),
        "rings": np.sin(50 * size * np.hypot(x - 0.6, y - 0.6)),
        "checks": np.sign(np.sin(20 * size * x) * np.sin(20 * size * y)),
        "dots": np.sin(25 * size * x) + np.sin(25 * size * y) - 1,
        "plain": np.zeros_like(x),
    }[pattern]
    pixels = (0.6 + 0.4 * light[..., None]) * COLOURS[pattern] + draw.normal(size=(84, 84, 3)) * 12
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "PNG")
    return data_url(file.getvalue())


@pytest.mark.parametrize("way", [2, 3, 5])
def test_colour_pictures_of_up_to_five_classes_are_told_apart(
    client: httpx.Client, way: int
) -> None:
    names = PATTERNS[:way]
    support = {"inputs": [picture(name, 1) for name in names], "targets": list(names)}

    adaptation = adapt(client, {"checkpoint": NAME, "support": support})

    answers = {
        (name, seed): predict_one(client, adaptation, picture(name, seed))["label"]
        for name in names
        for seed in (2, 3, 4)
    }
    assert adaptation["classes"] == list(names)
    assert (adaptation["steps"], adaptation["step_size"]) == (10, 0.05)
    right = [name == label for (name, _), label in answers.items()]
    assert np.mean(right) >= 0.8, answers
