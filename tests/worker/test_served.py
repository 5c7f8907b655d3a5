"""One hot model answers many threads at once, as the API's do, each as if it were alone."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from models.adapted_file import dump_adapted
from models.checkpoint import Checkpoint
from models.inner_loop import Adapted
from models.served import ServedModel, load_served, serve_theta
from tests.worker.orders import drawings
from worker.engine import Work, adapt_rows


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
    work = Work(x=drawings(1), y=np.arange(5), step_size=0.1)
    [adapted] = adapt_rows(omniglot, [work], outputs=5, steps=3, device=torch.device("cpu"))
    assert isinstance(adapted, Adapted)
    model = load_served(file_of(omniglot, adapted))

    wrong = differing(model, drawings(2))

    assert wrong == 0


def file_of(checkpoint: Checkpoint, adapted: Adapted) -> bytes:
    description = {
        "task": "classification",
        "network": {"name": checkpoint.network, **checkpoint.network_config},
        "head": {"kind": "prototype"},
        "normalisation": "support",
        "input": checkpoint.input,
        "classes": list("abcde"),
        "outputs": 5,
    }
    return dump_adapted(adapted, description)
