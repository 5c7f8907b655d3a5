"""A third kind of task is one entry in each of the two registries, and the whole service has it."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
import uvicorn
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

import app.kinds
import models.kinds
from app.api.application import create_service
from app.backends import open_backends
from app.checkpoints.registry import install
from app.cli.serving.setup import prepare
from app.errors import refusal
from app.inputs.support_sets import Given
from app.settings import Settings, read_settings
from app.values.description import Description
from app.values.tenants import DEFAULT
from models.episodes import Examples, Supply
from models.files.checkpoint import Checkpoint, dump_checkpoint
from models.files.served_loop import ServedInnerLoop
from models.heads.layer import Head
from models.learner import Learner
from models.networks import build_network
from models.outer_loop import MetaParams
from worker.batch import run_hint
from worker.bench import open_bench

NETWORK = {"inputs": 1, "hidden": [8, 8], "normalised": False}
STEPS, STEP_SIZE = 4, 0.05
INPUTS, COUNTS = [-1.0, 0.0, 0.5, 1.0, 2.0], [0, 1, 2, 2, 5]


class LearnedCounts(models.kinds.Kind):
    """Counts: the deviance of a Poisson distribution whose logarithmic mean the network gives."""

    name = "counts"
    score_name = "mean deviance"

    def losses(self, outputs: Tensor, examples: Examples) -> Tensor:
        each = (outputs.exp() - examples["y"] * outputs).mean(dim=2)
        return models.kinds.mean_over(each, examples.mask)

    def scores(self, outputs: Tensor, examples: Examples) -> Tensor:
        return self.losses(outputs, examples)

    def suits(self, supply: Supply) -> bool:
        return False


class ServedCounts(app.kinds.Regression):
    """Whole numbers from 0 on; a prediction is the expected count."""

    name = "counts"
    measure = "deviance"

    def read_targets(
        self, given: Given, classes: tuple[str, ...] | None, outputs: int
    ) -> NDArray[Any]:
        targets = super().read_targets(given, classes, outputs)
        if (targets < 0).any() or (targets % 1 != 0).any():
            raise refusal("validation", given.targets_at, "expected counts, got something else")
        return targets

    def read_support_targets(self, given: Given, about: Description) -> tuple[None, NDArray[Any]]:
        return None, self.read_targets(given, None, about.head.outputs)

    def readable(
        self,
        outputs: NDArray[Any],
        classes: tuple[str, ...] | None,
        *,
        values: int,
        top_k: int | None = None,
    ) -> list[dict[str, Any]]:
        return [{"expected_count": float(np.exp(row[0]))} for row in outputs]

    def score(self, outputs: NDArray[Any], targets: NDArray[Any]) -> float | None:
        return float((np.exp(outputs) - targets * outputs).mean())


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(models.kinds.KINDS, "counts", LearnedCounts())
    monkeypatch.setitem(app.kinds.KINDS, "counts", ServedCounts())
    return "counts"


def checkpoint(kind: str) -> Checkpoint:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build_network("mlp", NETWORK)
        head = {"head.weight": torch.randn(1, 8) * 0.3, "head.bias": torch.zeros(1)}
    body = {name: value.detach().clone() for name, value in network.named_parameters()}
    return Checkpoint(
        name="visitors",
        learner=Learner(network=network, head=Head(kind="linear", outputs=1), task=kind),
        meta=MetaParams(theta=body | head),
        network="mlp",
        network_config=NETWORK,
        input_shape=(1,),
        preprocessing=None,
        max_way=1,
        inner_loop=ServedInnerLoop(steps=STEPS, step_size=STEP_SIZE),
        provenance={},
    )


@pytest.fixture
def settings(tmp_path: Path, redis_url: str, kind: str) -> Settings:
    """A service's own, with the checkpoint installed."""
    settings = read_settings(data_dir=tmp_path, redis_url=redis_url, device="cpu", torch_threads=1)
    prepare(settings)
    backends = open_backends(settings)
    install(backends.engine, backends.store, DEFAULT, [dump_checkpoint(checkpoint(kind))])
    backends.close()
    return settings


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a server and a worker in this process, where the kind is registered."""
    config = uvicorn.Config(create_service(settings), port=0, log_config=None, http="h11")
    server, stop = uvicorn.Server(config), threading.Event()
    serving = threading.Thread(target=server.run)
    working = threading.Thread(target=work_until, args=(settings, stop.is_set))
    serving.start()
    working.start()
    try:
        while not server.started:
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        stop.set()
        serving.join()
        working.join()


def work_until(settings: Settings, is_over: Callable[[], bool]) -> None:
    """What a worker's child does, without waiting for messages."""
    bench = open_bench(settings)
    while not is_over():
        if not run_hint(bench, None):
            time.sleep(0.02)
    bench.backends.close()


def by_hand(inputs: list[float]) -> tuple[list[float], list[float]]:
    """Expected counts for the inputs, and the losses on the way, by torch's own Poisson loss."""
    theta = checkpoint("counts").meta.theta
    phi = {name: value.double().requires_grad_() for name, value in theta.items()}
    x, y = torch.tensor(INPUTS).double()[:, None], torch.tensor(COUNTS).double()[:, None]
    losses = []
    for step in range(STEPS + 1):
        loss = F.poisson_nll_loss(forward(phi, x), y, log_input=True, full=False)
        losses.append(loss.item())
        if step < STEPS:
            found = torch.autograd.grad(loss, list(phi.values()))
            moved = zip(phi.items(), found, strict=True)
            phi = {n: (p - STEP_SIZE * g).detach().requires_grad_() for (n, p), g in moved}
    return forward(phi, torch.tensor(inputs).double()[:, None]).exp()[:, 0].tolist(), losses


def forward(phi: dict[str, Tensor], x: Tensor) -> Tensor:
    for layer in range(2):
        x = F.linear(x, phi[f"linears.{layer}.weight"], phi[f"linears.{layer}.bias"]).relu()
    return F.linear(x, phi["head.weight"], phi["head.bias"])


def test_a_third_kind_is_posted_adapted_and_predicted_over_http(client: httpx.Client) -> None:
    body = {
        "checkpoint": "visitors",
        "support": {"inputs": INPUTS, "targets": COUNTS},
        "query": {"inputs": [1.5], "targets": [3]},
        "assess": True,
    }

    made = client.post("/adapt", json=body, headers={"Prefer": "wait=20"}).json()
    found = client.get("/predict", params={"adaptation": made["id"], "input": ["-0.5", "1.5"]})

    (first, second), losses = by_hand([-0.5, 1.5])
    assert (made["task"], made["status"], made["classes"]) == ("counts", "succeeded", None)
    assert made["metrics"]["support_loss"] == pytest.approx(losses, rel=1e-5)
    assert made["predictions"] == [{"expected_count": pytest.approx(second, rel=1e-5)}]
    assert made["metrics"]["query_deviance"] < made["metrics"]["query_deviance_before"]
    assert made["metrics"]["leave_one_out_deviance"] is not None
    told = [one["expected_count"] for one in found.json()["predictions"]]
    assert told == pytest.approx([first, second], rel=1e-5)


def test_a_third_kind_refuses_its_own_bad_targets(client: httpx.Client) -> None:
    body = {"checkpoint": "visitors", "support": {"inputs": [1.0], "targets": [1.5]}}

    refused = client.post("/adapt", json=body)

    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {"pointer": "/support/targets", "detail": "expected counts, got something else"}
    ]
