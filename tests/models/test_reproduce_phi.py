"""The NumPy of docs/reproduce_phi.md predicts what the service's own models do, of every head."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.episodes import labelled
from models.files.adapted_file import dump_adapted, with_body
from models.files.checkpoint import Checkpoint, load_checkpoint
from models.heads.novelty import Bucket, Calibration
from models.inner_loop import adapt
from models.learner import Adapted, Adapts
from models.served import load_served

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reproduce_phi.md"
SHIPPED = ROOT / "models" / "checkpoints"
ROUNDING = 5e-5  # class means of noise: float32 scores of tens whose differences count


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page's code defines."""
    pieces = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    defined: dict[str, Any] = {}
    exec("\n".join(piece for piece in pieces if "def " in piece), defined)
    return defined


def shipped(name: str) -> Checkpoint:
    return load_checkpoint((SHIPPED / f"{name}.safetensors").read_bytes())


def adapted_by(checkpoint: Checkpoint, adapts: Adapts, x: Tensor, y: Tensor) -> Adapted:
    outputs = int(y.max()) + 1 if y.dtype == torch.int64 else y.shape[1]
    recipe = checkpoint.recipe_of(adapts)
    support = labelled(x, y)
    return adapt(checkpoint.learner, checkpoint.meta.theta, support, recipe, outputs=outputs)


def described(checkpoint: Checkpoint, adapted: Adapted, x: Tensor, outputs: int) -> dict[str, Any]:
    return {
        "task": checkpoint.learner.task,
        "network": {"name": checkpoint.network, **checkpoint.network_config},
        "head": {"kind": checkpoint.learner.head.kind},
        "normalisation": "support",
        "input": {"shape": list(x.shape[1:]), "preprocessing": None},
        "classes": None,
        "outputs": outputs,
    }


def compare(page: dict[str, Any], file: Path, data: bytes, query: Tensor) -> None:
    file.write_bytes(data)
    outputs = torch.from_numpy(load_served(data).predict(query.numpy()))
    tensors, about = page["read"](file)
    if about["task"] == "regression":
        expected = outputs
    else:
        expected = outputs[:, : about["outputs"]].double().softmax(dim=1)
    found = page["predict"](file, query.numpy())
    np.testing.assert_allclose(found, expected.numpy(), atol=ROUNDING)
    if "head.known" in tensors:
        shares = torch.special.ndtr(outputs[:, about["outputs"]].double())
        np.testing.assert_allclose(page["novelty"](file, query.numpy()), shares, atol=2e-4)


def examples_of(number: int, *shape: int) -> tuple[Tensor, Tensor, Tensor]:
    """Faint noise, with a bright stroke in the place of each of three classes; as many again."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2 * number, *shape, generator=generator) / 4
    y = torch.arange(2 * number) % 3
    for name in range(3):
        x[y == name, ..., 3 * name : 3 * name + 3] += 1
    return x[:number], y[:number], x[number:]


@pytest.mark.parametrize(("adapts", "examples"), [("kernel", 3), ("kernel", 12), ("head", 12)])
def test_a_calibrated_classifier(
    page: dict[str, Any], tmp_path: Path, adapts: Adapts, examples: int
) -> None:
    """Noise that is far from all, too."""
    measured = Bucket(
        shots=1, middle=1.0, below=0.3, above=0.2, left_out=1.0, temperature={adapts: 0.4}
    )
    plain = shipped("omniglot-anyway")
    learner = replace(plain.learner, calibration=Calibration(buckets=(measured,)))
    checkpoint = replace(plain, learner=learner)
    x, y, query = examples_of(examples, 1, 28, 28)
    adapted = adapted_by(checkpoint, adapts, x, y)
    about = described(checkpoint, adapted, x, 3)

    far = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(1)) * 3

    whole = with_body(dump_adapted(adapted, about, body="0" * 64), checkpoint.meta.theta)
    compare(page, tmp_path / "phi.safetensors", whole, torch.cat([query, far]))


@pytest.mark.parametrize(
    ("name", "adapts", "examples", "shape"),
    [
        ("omniglot-anyway", "kernel", 12, (1, 28, 28)),  # by the inputs
        ("omniglot-anyway", "kernel", 3, (1, 28, 28)),  # class means
        ("omniglot-anyway", "head", 12, (1, 28, 28)),
        ("miniimagenet-5way-1shot-finn2017", "kernel", 6, (3, 84, 84)),  # convolutions with a bias
        ("vectors", "kernel", 12, (24,)),
        ("vectors", "head", 12, (24,)),
    ],
)
def test_a_classifier_without_and_with_its_idle_parts(
    page: dict[str, Any],
    tmp_path: Path,
    name: str,
    adapts: Adapts,
    examples: int,
    shape: tuple[int, ...],
) -> None:
    checkpoint = shipped(name)
    x, y, query = examples_of(examples, *shape)
    adapted = adapted_by(checkpoint, adapts, x, y)
    about = described(checkpoint, adapted, x, 3)

    exported = with_body(dump_adapted(adapted, about, body="0" * 64), checkpoint.meta.theta)

    compare(page, tmp_path / "exported.safetensors", exported, query)
    compare(page, tmp_path / "all.safetensors", dump_adapted(adapted, about), query)


def test_the_first_of_them_looks_at_the_inputs() -> None:
    x, y, _ = examples_of(12, 1, 28, 28)

    adapted = adapted_by(shipped("omniglot-anyway"), "kernel", x, y)

    assert adapted.params["head.share"] > 0


def test_a_curve_with_its_deviations_and_far_outside(page: dict[str, Any], tmp_path: Path) -> None:
    checkpoint = shipped("curves")
    x = torch.linspace(-1, 1, 5)[:, None]
    adapted = adapted_by(checkpoint, "bayesian", x, x.square())
    query = torch.cat([torch.linspace(-2, 2, 9), torch.tensor([3.0])])[:, None]

    data = dump_adapted(adapted, described(checkpoint, adapted, x, 1))

    compare(page, tmp_path / "curve.safetensors", data, query)
    assert page["predict"](tmp_path / "curve.safetensors", query.numpy()).shape == (10, 2)
