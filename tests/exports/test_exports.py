"""What is taken home predicts like the service: every shipped checkpoint, every kind of adaptation,
every format.
"""

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load as load_tensors

from app.checkpoints.registry import shipped_files
from models.files.about import read_about
from models.files.checkpoint import Checkpoint, load_checkpoint
from models.files.graph import Graph
from models.kinds import find_kind
from tests.both_kinds import EMBEDDED, KINDS, ON_SERVERS, running_kind
from tests.journey.requests import NAMES, adapt, drawing, pixels, predict, refusal, table
from tests.processes import Service

Json = dict[str, Any]
CHECKPOINTS = {path.stem: load_checkpoint(path.read_bytes()) for path in shipped_files()}
CASES = [
    (name, way, shots)
    for name, checkpoint in CHECKPOINTS.items()
    if checkpoint.acting is None  # tests/policies
    for way in find_kind(checkpoint.learner.task).ways(checkpoint.learner.head)
    if way != "weights"  # the paper's code's, which no request can ask for
    if way != "all" or checkpoint.inner_loop.steps  # nothing to step from
    for shots in (1, 3)
]
TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=KINDS)
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with running_kind(request.param, tmp_path_factory.mktemp("exports")) as running:
        yield running


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.base_url, timeout=90) as client:
        yield client


def support_of(checkpoint: Checkpoint, shots: int, random: np.random.Generator) -> Json:
    """Real characters where the checkpoint knows them, else random numbers of its shape."""
    task, way = checkpoint.learner.task, min(checkpoint.max_way, 5)
    if task == "regression":
        x = random.uniform(-3, 3, (5 * shots, *shape_of(checkpoint)))
        return {"inputs": x.tolist(), "targets": np.sin(x.reshape(len(x), -1)[:, :1]).tolist()}
    inputs = examples_of(checkpoint, range(1, shots + 1), way, random)
    return {"inputs": inputs.tolist(), "targets": [f"class {i % way}" for i in range(len(inputs))]}


def examples_of(
    checkpoint: Checkpoint, numbers: range, way: int, random: np.random.Generator
) -> NDArray[np.float32]:
    if checkpoint.input_shape == (1, 28, 28):
        shown = [(name, number) for number in numbers for name in NAMES[:way]]
        return np.stack([pixels(drawing(name, number)) for name, number in shown])[:, None]
    shape = shape_of(checkpoint)
    middles = random.uniform(0, 1, (way, *shape))
    around = random.normal(0, 0.1, (len(numbers), way, *shape))
    return np.clip(middles + around, 0, 1).reshape(-1, *shape).astype(np.float32)


def shape_of(checkpoint: Checkpoint) -> tuple[int, ...]:
    """Where any width will do, one."""
    return tuple(side or 6 for side in checkpoint.input_shape)


def export(client: httpx.Client, adaptation: Json, wanted: str) -> bytes:
    answer = client.get(f"/adaptations/{adaptation['id']}/parameters", params={"format": wanted})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].endswith(f'.{wanted}"')
    return answer.content


def one_of_each_way() -> list[tuple[str, str, int]]:
    """A case of every kind of adaptation, for what no database and no broker can change."""
    return list({way: (name, way, shots) for name, way, shots in CASES}.values())


def beside(predictions: list[Json]) -> NDArray[np.float64] | None:
    """Novelty or standard deviations, where they are told."""
    found = [one.get("novelty", one.get("standard_deviation")) for one in predictions]
    return None if found[0] is None else np.array(found, np.float64)


@pytest.mark.parametrize(
    ("service", "name", "way", "shots"),
    [(EMBEDDED, *case) for case in CASES] + [(ON_SERVERS, *case) for case in one_of_each_way()],
    indirect=["service"],
)
def test_every_format_agrees_with_predict(
    client: httpx.Client, name: str, way: str, shots: int
) -> None:
    random = np.random.default_rng([shots, len(name), 2026])
    checkpoint = CHECKPOINTS[name]
    support = support_of(checkpoint, shots, random)
    made = adapt(client, {"checkpoint": name, "support": support, "adapts": way})
    if checkpoint.learner.task == "regression":
        queries = random.uniform(-3, 3, (7, *shape_of(checkpoint))).astype(np.float32)
    else:
        queries = examples_of(checkpoint, range(3, 6), min(checkpoint.max_way, 5), random)
    expected = predict(client, made, queries.tolist())

    graph = export(client, made, "onnx")
    session = onnxruntime.InferenceSession(graph)
    outputs = session.run(None, {"input": queries})
    one_by_one = [session.run(None, {"input": one[None]})[0][0] for one in queries]

    assert outputs[0] == pytest.approx(table(expected), abs=TOLERANCE, rel=TOLERANCE)
    assert np.stack(one_by_one) == pytest.approx(outputs[0], abs=1e-6)
    told = beside(expected)
    assert (told is not None) == (len(outputs) == 2)
    if told is not None:
        assert outputs[1].reshape(told.shape) == pytest.approx(told, abs=TOLERANCE, rel=TOLERANCE)

    tensors = load_tensors(export(client, made, "safetensors"))
    with np.load(io.BytesIO(export(client, made, "npz"))) as file:
        description = json.loads(str(file["fewstep"]))
        arrays = {name: file[name] for name in file.files if name != "fewstep"}
    assert arrays.keys() == tensors.keys()
    assert all((arrays[name] == tensors[name]).all() for name in arrays)
    assert description["classes"] == made["classes"]
    assert description["checkpoint"]["digest"] == made["checkpoint"]["digest"]
    rebuilt = Graph(read_about(description), {k: torch.from_numpy(v) for k, v in arrays.items()})
    with torch.no_grad():
        again = rebuilt(torch.from_numpy(queries))[0].numpy()
    assert again == pytest.approx(table(expected), abs=TOLERANCE, rel=TOLERANCE)


def test_a_graph_says_what_it_is_and_needs_nothing_of_ours(client: httpx.Client) -> None:
    support = support_of(CHECKPOINTS["omniglot-5way-1shot"], 1, np.random.default_rng(1))
    made = adapt(client, {"checkpoint": "omniglot-5way-1shot", "support": support})

    model = onnx.load_model_from_string(export(client, made, "onnx"))

    onnx.checker.check_model(model, full_check=True)
    about = {one.key: one.value for one in model.metadata_props}
    assert json.loads(about["classes"]) == made["classes"]
    assert json.loads(about["input"])["shape"] == [1, 28, 28]
    assert json.loads(about["input"])["preprocessing"]["kind"] == "picture"
    assert {one.domain for one in model.opset_import} == {""}
    assert [one.name for one in model.graph.output] == ["probabilities", "novelty"]


def test_each_format_has_a_tag_of_its_own(client: httpx.Client) -> None:
    x = np.linspace(-2, 2, 5)
    support = {"inputs": x.tolist(), "targets": np.sin(x).tolist()}
    made = adapt(client, {"checkpoint": "sinusoid", "support": support})
    place = f"/adaptations/{made['id']}/parameters"

    tags = {}
    for wanted in ("safetensors", "npz", "onnx"):
        first = client.get(place, params={"format": wanted})
        known = {"If-None-Match": first.headers["etag"]}
        again = client.get(place, params={"format": wanted}, headers=known)
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(place, params={"format": wanted}).content == first.content
        tags[wanted] = first.headers["etag"]
    assert len(set(tags.values())) == 3


def test_another_format_is_refused_with_those_that_there_are(client: httpx.Client) -> None:
    x = np.linspace(-2, 2, 6)
    support = {"inputs": x.tolist(), "targets": np.sin(x).tolist()}
    made = adapt(client, {"checkpoint": "sinusoid", "support": support})

    answer = client.get(f"/adaptations/{made['id']}/parameters", params={"format": "pickle"})

    assert refusal(answer) == (422, "validation")
    assert "safetensors, npz, onnx" in answer.text
