"""One hot model answers many threads at once, as the API's do, each as if it were alone."""

import gc
import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app.values.readable import softmax
from models.files.adapted_file import dump_adapted
from models.files.checkpoint import Checkpoint
from models.learner import Adapted
from models.networks import NETWORKS
from models.normalisation import forward
from models.served import ServedModel, load_served, predict_stacked, serve_theta, stand_in
from tests.worker.orders import drawings
from worker.stacking import adapt_rows
from worker.work import Work


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns a hundred times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


def differing(model: ServedModel, inputs: np.ndarray) -> int:
    """How many answers of eight threads differ from those that each input had alone before."""
    alone = [model.predict(one[None]) for one in inputs]

    def agrees(number: int) -> bool:
        which = number % len(inputs)
        answer = model.predict(inputs[which : which + 1])
        return bool(np.allclose(answer, alone[which], atol=1e-5))

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(agrees, range(1000))).count(False)


@pytest.mark.usefixtures("restless")
def test_a_regression_answers_eight_threads_as_it_answers_one(sinusoid: Checkpoint) -> None:
    model = serve_theta(sinusoid)
    assert model is not None

    wrong = differing(model, np.linspace(-4, 4, 7, dtype=np.float32)[:, None])

    assert wrong == 0


@pytest.mark.usefixtures("restless")
def test_a_classifier_answers_eight_threads_as_it_answers_one(omniglot: Checkpoint) -> None:
    model = load_served(file_of(omniglot, adapted_to_drawings(omniglot, 1)))

    wrong = differing(model, drawings(2))

    assert wrong == 0


def file_of(checkpoint: Checkpoint, adapted: Adapted) -> bytes:
    classifies = checkpoint.learner.task == "classification"
    description = {
        "task": checkpoint.learner.task,
        "network": {"name": checkpoint.network, **checkpoint.network_config},
        "head": {"kind": checkpoint.learner.head.kind},
        "normalisation": "support",
        "input": {
            "shape": list(checkpoint.input_shape),
            "preprocessing": checkpoint.preprocessing,
        },
        "classes": list("abcde") if classifies else None,
        "outputs": 5 if classifies else 1,
    }
    return dump_adapted(adapted, description)


def test_a_model_predicts_what_float64_does(omniglot: Checkpoint) -> None:
    omniglot = replace(omniglot, learner=replace(omniglot.learner, calibration=None))
    adapted = adapted_to_drawings(omniglot, 1)
    x = drawings(2)
    body = {name: t.double() for name, t in adapted.params.items() if not name.startswith("head.")}
    statistics = {name: tensor.double() for name, tensor in adapted.statistics.items()}
    exact, _ = forward(omniglot.learner.network, body, torch.from_numpy(x).double(), statistics)
    exact = exact @ adapted.params["head.weight"].double().T + adapted.params["head.bias"].double()

    outputs = load_served(file_of(omniglot, adapted)).predict(x)

    assert np.abs(softmax(outputs) - softmax(exact.detach().numpy())).max() < 1e-5


def test_models_stacked_predict_what_each_does_alone(
    omniglot: Checkpoint, sinusoid: Checkpoint
) -> None:
    letters = [load_served(file_of(omniglot, adapted_to_drawings(omniglot, s))) for s in range(4)]
    theta = serve_theta(sinusoid)
    assert theta is not None
    waves = [replace(theta, flat=theta.flat * (1 + number / 100)) for number in range(40)]
    random = np.random.default_rng(0)

    for models, x in ((letters, drawings(9, 4)), (waves, random.uniform(-5, 5, (40, 1)))):
        x = x.astype(np.float32)
        alone = [model.predict(one[None])[0] for model, one in zip(models, x, strict=True)]
        np.testing.assert_allclose(predict_stacked(models, x), np.stack(alone), 1e-5, 1e-5)


class Odd(torch.nn.Module):
    """A network of somebody else, which does not know its forward over stacked models."""

    def __init__(self, *, inputs: int) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(inputs, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.linear(x))


def test_models_of_a_network_that_only_vmap_stacks_predict_what_numpy_does(
    monkeypatch: pytest.MonkeyPatch, sinusoid: Checkpoint
) -> None:
    monkeypatch.setitem(NETWORKS, "odd", Odd)  # type: ignore[arg-type]
    odd = replace(
        sinusoid,
        network="odd",
        network_config={"inputs": 1},
        learner=replace(sinusoid.learner, network=Odd(inputs=1)),
        meta=replace(sinusoid.meta, theta=dict(Odd(inputs=1).named_parameters())),
    )
    first = stand_in(odd, outputs=1)
    random = np.random.default_rng(2)
    flats = random.normal(size=(6, len(first.flat))).astype(np.float32)
    models = [replace(first, flat=torch.from_numpy(flat)) for flat in flats]
    x = random.uniform(-5, 5, (6, 1)).astype(np.float32)

    outputs = predict_stacked(models, x)

    for model, one, output in zip(models, x, outputs, strict=True):
        named = {
            n: t.numpy().astype(float) for n, t in model.architecture.named(model.flat).items()
        }
        hidden = np.tanh(named["linear.weight"] @ one + named["linear.bias"])
        exact = named["head.weight"] @ hidden + named["head.bias"]
        np.testing.assert_allclose(output, exact, 1e-5, 1e-5)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_a_kept_model_takes_no_more_memory_than_it_says(sinusoid: Checkpoint) -> None:
    work = Work(
        support={"x": np.ones((5, 1), np.float32), "y": np.ones((5, 1), np.float32)}, step_size=0.01
    )
    [adapted] = adapt_rows(sinusoid, [work], outputs=1, steps=1, device=torch.device("cpu"))
    assert isinstance(adapted, Adapted)
    file = file_of(sinusoid, adapted)
    kept = [load_served(file) for _ in range(200)]
    before = resident_bytes()

    kept += [load_served(file) for _ in range(4000)]

    each = (resident_bytes() - before) / 4000
    assert each < kept[0].bytes
    assert kept[0].bytes < 1.2 * kept[0].flat.nbytes + 4096


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def adapted_to_drawings(checkpoint: Checkpoint, seed: int) -> Adapted:
    work = Work(support={"x": drawings(seed), "y": np.arange(5)}, step_size=0.1)
    [adapted] = adapt_rows(checkpoint, [work], outputs=5, steps=3, device=torch.device("cpu"))
    assert isinstance(adapted, Adapted)
    return adapted
