"""Requests to measure with: support sets that differ, so that each leaves a blob of its own."""

import base64
import json
import random
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.service.client import post, post_form
from models.files.checkpoint import Checkpoint, load_checkpoint
from models.pictures.inputs import input_from_picture
from worker.work import Work

DRAWINGS = Path(__file__).parents[2] / "examples" / "characters"
CHECKPOINTS = Path(__file__).parents[2] / "models" / "checkpoints"
PICTURES, NUMBERS, WAY = "omniglot-5way-1shot", "sinusoid", 5


@cache
def checkpoint(name: str) -> Checkpoint:
    """A shipped checkpoint."""
    return load_checkpoint((CHECKPOINTS / f"{name}.safetensors").read_bytes())


@cache
def drawings() -> dict[str, list[bytes]]:
    """PNG files by character."""
    return {
        folder.name: [path.read_bytes() for path in sorted(folder.glob("*.png"))]
        for folder in sorted(DRAWINGS.iterdir())
        if folder.is_dir()
    }


def picture_support(randomness: random.Random) -> list[tuple[str, bytes]]:
    """Five characters in some order, one drawing of each: 2.3 billion supports there are."""
    chosen = randomness.sample(sorted(drawings()), WAY)
    return [(name, randomness.choice(drawings()[name])) for name in chosen]


def picture_order(support: list[tuple[str, bytes]]) -> bytes:
    """POST /adapt of five pictures, as a form."""
    return post_form("/adapt", json.dumps({"checkpoint": PICTURES}).encode(), support)


def picture_work(support: list[tuple[str, bytes]]) -> Work:
    """The same support as the engine takes it."""
    learned = checkpoint(PICTURES)
    spec = learned.preprocessing
    x = [input_from_picture(Image.open(BytesIO(picture)), spec) for _, picture in support]
    size = learned.recipe.step_size
    return Work(support={"x": np.stack(x), "y": np.arange(len(support))}, step_size=float(size))


def sine_order(randomness: random.Random) -> bytes:
    """POST /adapt of five points of a sine, as JSON."""
    height, phase = randomness.uniform(0.5, 4), randomness.uniform(0, 3)
    x = [[randomness.uniform(-5, 5)] for _ in range(5)]
    y = [[height * float(np.sin(point[0] - phase))] for point in x]
    support = {"inputs": x, "targets": y}
    body = json.dumps({"checkpoint": NUMBERS, "support": support}).encode()
    return post("/adapt", body, "application/json")


def data_url(picture: bytes, side_px: int = 28) -> str:
    """The picture at that size as a data URL."""
    small = Image.open(BytesIO(picture)).convert("L").resize((side_px, side_px))
    kept = BytesIO()
    small.save(kept, "PNG")
    return f"data:image/png;base64,{base64.urlsafe_b64encode(kept.getvalue()).decode()}"
