"""What the journeys send: the example characters in every form, a sine wave, and short calls."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.pictures.inputs import input_from_picture
from tests.border.pictures import OMNIGLOT as PLAIN

Json = dict[str, Any]
CHARACTERS = Path(__file__).parents[2] / "examples" / "characters"
NAMES = ("dalu", "kem", "noshi", "peru", "tavo")
PREPROCESSING: Json = PLAIN | {"preparation": "pen-on-paper", "stroke": 1 / 16}
OMNIGLOT, SINUSOID = "omniglot-5way-1shot", "sinusoid"


def drawing(name: str, number: int) -> bytes:
    """The PNG of an example character."""
    return (CHARACTERS / name / f"{number:02}.png").read_bytes()


def data_url(png: bytes) -> str:
    """The picture as a data URL."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def pixels(png: bytes) -> NDArray[np.float32]:
    """(28, 28) float32, strokes 1 on 0: what the checkpoint's preprocessing makes of the picture,
    which a sender of numbers has done already (``tests/pictures`` has what shows that it is right).
    """
    with Image.open(io.BytesIO(png)) as picture:
        return input_from_picture(picture, PREPROCESSING)[0]


def characters(*, shots: int = 1, **more: Any) -> Json:
    """A body that adapts to the first drawings of five characters."""
    shown = [(name, number) for number in range(1, shots + 1) for name in NAMES]
    support = {
        "inputs": [data_url(drawing(name, number)) for name, number in shown],
        "targets": [name for name, _ in shown],
    }
    return {"checkpoint": OMNIGLOT, "support": support, **more}


def queries() -> Json:
    """A query set: the drawings of the five characters that no support set shows."""
    shown = [(name, number) for name in NAMES for number in (3, 4, 5)]
    return {
        "inputs": [data_url(drawing(name, number)) for name, number in shown],
        "targets": [name for name, _ in shown],
    }


def sine(count: int = 5, *, height: float = 2.0, phase: float = 0.5, **more: Any) -> Json:
    """A body that adapts to points of a sine wave."""
    x = np.linspace(-4, 4, count)
    y = height * np.sin(x - phase)
    return {
        "checkpoint": SINUSOID,
        "support": {"inputs": x.tolist(), "targets": y.tolist()},
        **more,
    }


def adapt(client: httpx.Client, body: Json, **headers: str) -> Json:
    """The adaptation that succeeded."""
    answer = client.post("/adapt", json=body, headers={"Prefer": "wait=60"} | headers)
    assert answer.status_code == 201, answer.text
    adaptation: Json = answer.json()
    assert adaptation["status"] == "succeeded", adaptation["error"]
    return adaptation


def predict(client: httpx.Client, adaptation: Json, inputs: list[Any], **more: Any) -> list[Json]:
    """What ``POST /predict`` says of these inputs."""
    body = {"adaptation": adaptation["id"], "inputs": inputs, **more}
    answer = client.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    predictions: list[Json] = answer.json()["predictions"]
    return predictions


def predict_one(client: httpx.Client, adaptation: Json, example: Any) -> Json:
    """What ``GET /predict`` says of one input."""
    text = example if isinstance(example, str) else json.dumps(example)
    answer = client.get("/predict", params={"adaptation": adaptation["id"], "input": text})
    assert answer.status_code == 200, answer.text
    [prediction] = answer.json()["predictions"]
    only: Json = prediction
    return only


def table(predictions: list[Json]) -> NDArray[np.float64]:
    """(Q, N) probabilities, or (Q, outputs) values."""
    rows = [
        one["value"] if "value" in one else [*one["probabilities"].values()] for one in predictions
    ]
    return np.array(rows, dtype=np.float64)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem, whose form is checked on the way."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert len(answer.content) <= 4096
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"/problems/{problem['code']}"
    return answer.status_code, problem["code"]
