"""Weights from elsewhere: the authors' network against NumPy in TensorFlow's conventions, and
state_dicts against the module that they come from.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from models.checkpoint import Checkpoint, load_checkpoint
from models.heads import apply_head
from models.importing.architecture import read_architecture
from models.importing.bundle import Tensors, load_bundle
from models.importing.faults import CannotImport
from models.importing.finn2017 import LAYOUT, import_finn2017, theta_from
from models.importing.state_dict import import_state_dict
from models.inner_loop import adapt
from models.normalisation import forward

Array = NDArray[np.float64]
SHIPPED = (
    Path(__file__).parents[2] / "models/checkpoints/miniimagenet-5way-1shot-finn2017.safetensors"
)
COMMAND = "fewstep checkpoints import model59000.index --name miniimagenet-5way-1shot-finn2017"


def as_tensorflow(tensors: Tensors, pictures: Array) -> Array:
    """(B, 84, 84, 3) -> (B, 5) logits, as the authors' code computes them: NHWC and HWIO, SAME
    convolution, bias, batch-norm of the batch without gamma, ReLU, 2 x 2 max-pool VALID.
    """
    weights = {name: value.astype(np.float64) for name, value in tensors.items()}
    maps = pictures
    for block, bias in enumerate(("Variable", "Variable_1", "Variable_2", "Variable_3")):
        maps = same_convolution(maps, weights[f"model/conv{block + 1}"]) + weights[f"model/{bias}"]
        mean, var = maps.mean(axis=(0, 1, 2)), maps.var(axis=(0, 1, 2))
        maps = (maps - mean) / np.sqrt(var + 1e-3) + weights[f"model/{block}/beta"]
        maps = pooled(np.maximum(maps, 0))
    flat = maps.reshape(len(maps), -1)
    return flat @ weights["model/w5"] + weights["model/b5"]


def same_convolution(maps: Array, kernel: Array) -> Array:
    height, width = maps.shape[1:3]
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifts = [(i, j) for i in range(3) for j in range(3)]
    parts = [padded[:, i : i + height, j : j + width] @ kernel[i, j] for i, j in shifts]
    return np.asarray(sum(parts))


def pooled(maps: Array) -> Array:
    height, width = maps.shape[1] // 2 * 2, maps.shape[2] // 2 * 2
    cut = maps[:, :height, :width]
    return np.asarray(cut.reshape(len(cut), height // 2, 2, width // 2, 2, -1).max(axis=(2, 4)))


def drawn_tensors() -> Tensors:
    """The layout of the authors' network, filled with other numbers."""
    draw = np.random.default_rng(3)
    return {n: (draw.normal(size=s) * 0.2).astype(np.float32) for n, s in LAYOUT.items()}


def logits(tensors: Tensors, pictures: Array) -> NDArray[np.float32]:
    network = load_checkpoint(SHIPPED.read_bytes()).learner.network
    theta = theta_from(tensors)
    body = {name: value for name, value in theta.items() if not name.startswith("head.")}
    x = torch.from_numpy(pictures.transpose(0, 3, 1, 2).astype(np.float32))
    features, _ = forward(network, body, x)
    return np.asarray(apply_head(theta, features))


def test_the_mapped_network_computes_what_tensorflows_layout_says() -> None:
    pictures = np.random.default_rng(4).random((5, 84, 84, 3))

    found = logits(drawn_tensors(), pictures)

    np.testing.assert_allclose(found, as_tensorflow(drawn_tensors(), pictures), atol=2e-4)


def test_the_authors_network_computes_what_its_layout_says(maml_bundle: Path) -> None:
    tensors = load_bundle(maml_bundle).tensors
    pictures = np.random.default_rng(5).random((5, 84, 84, 3))

    found = logits(tensors, pictures)

    np.testing.assert_allclose(found, as_tensorflow(tensors, pictures), atol=2e-4)


def test_the_shipped_file_is_what_the_importer_makes_of_the_authors(maml_bundle: Path) -> None:
    made = import_finn2017(maml_bundle, name="miniimagenet-5way-1shot-finn2017", command=COMMAND)

    assert SHIPPED.read_bytes() == made
    assert load_checkpoint(made).provenance["source"]["repository"].endswith("cbfinn/maml")


def test_the_authors_inner_loop_moves_everything_but_beta() -> None:
    checkpoint = load_checkpoint(SHIPPED.read_bytes())
    x = torch.rand(5, 3, 84, 84, generator=torch.Generator().manual_seed(1))

    adapted = adapt(
        checkpoint.learner,
        checkpoint.meta.theta,
        x,
        torch.arange(5),
        replace(checkpoint.recipe, steps=1),
        outputs=5,
    )

    left = {n for n, t in checkpoint.meta.theta.items() if torch.equal(t, adapted.params[n])}
    left -= {f"blocks.{block}.conv.bias" for block in range(4)}  # it cancels: no gradient but noise
    assert left == {f"blocks.{block}.norm.bias" for block in range(4)}
    assert (checkpoint.recipe.steps, checkpoint.recipe.step_size) == (10, 0.05)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t | {"model/extra": t["model/b5"]}, "unknown .'model/extra'"),
        (lambda t: {n: v for n, v in t.items() if n != "model/w5"}, "missing .'model/w5'"),
        (lambda t: t | {"model/b5": t["model/b5"][:4]}, r"model/b5: expected \(5,\), got \(4,\)"),
    ],
)
def test_another_network_than_the_authors_is_refused(spoil, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CannotImport, match=said):
        theta_from(spoil(drawn_tensors()))


CARD = """
task = "classification"
input_shape = [3]
max_way = 4

[network]
name = "mlp"
inputs = 3
hidden = [8, 6]
normalised = false

[head]
kind = "linear"
outputs = 4

[inner_loop]
steps = 2
step_size = 0.1

[rename]
"0.weight" = "linears.0.weight"
"0.bias" = "linears.0.bias"
"2.weight" = "linears.1.weight"
"2.bias" = "linears.1.bias"
"4.weight" = "head.weight"
"4.bias" = "head.bias"
"""


def module() -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4))


def imported(tmp_path: Path, tensors: dict[str, torch.Tensor], card: str = CARD) -> Checkpoint:
    save_file(tensors, tmp_path / "net.safetensors")
    data = import_state_dict(
        tmp_path / "net.safetensors", read_architecture(card), name="net", command="fewstep"
    )
    return load_checkpoint(data)


def test_a_state_dict_becomes_a_checkpoint_of_the_same_function(tmp_path: Path) -> None:
    theirs = module()
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(6))

    checkpoint = imported(tmp_path, theirs.state_dict())

    theta = checkpoint.meta.theta
    body = {name: value for name, value in theta.items() if not name.startswith("head.")}
    features, _ = forward(checkpoint.learner.network, body, x)
    torch.testing.assert_close(apply_head(theta, features), theirs(x).detach())
    assert checkpoint.provenance["files"]["net.safetensors"].startswith("sha256:")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: {n: v for n, v in t.items() if n != "2.bias"}, "the file has no .'2.bias'"),
        (lambda t: t | {"6.weight": torch.zeros(2)}, "unknown .'6.weight'"),
        (
            lambda t: t | {"0.weight": torch.zeros(8, 4)},
            r"expected float32 \(8, 3\), got .*\(8, 4\)",
        ),
        (lambda t: t | {"0.weight": t["0.weight"].double()}, "got float64"),
        (lambda t: t | {"4.bias": torch.full((4,), float("nan"))}, "head.bias: expected finite"),
    ],
)
def test_tensors_that_are_not_the_networks_are_refused(tmp_path: Path, spoil, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CannotImport, match=said):
        imported(tmp_path, spoil(dict(module().state_dict())))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "mlp"', 'name = "resnet"', "unknown network 'resnet'"),
        ("hidden = [8, 6]", "hidden = [8, 6]\ndepth = 3", "depth"),
        ("max_way = 4", "max_way = 5", "max_way: expected at least 2 and at most"),
        ("step_size = 0.1", "step_size = 0.1\nlearned = true", "learned step sizes"),
        ("input_shape = [3]", "input_shape = [100000, 100000]", "input_shape: expected positive"),
        ("[rename]", "[renamed]", "unknown .'renamed'"),
        ('task = "classification"', "", "missing .'task'"),
    ],
)
def test_an_architecture_that_cannot_be_served_is_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises((CannotImport, ValueError), match=said):
        imported(tmp_path, dict(module().state_dict()), CARD.replace(old, new))


def test_a_pickle_is_refused_with_a_way_to_convert_it(tmp_path: Path) -> None:
    torch.save(module().state_dict(), tmp_path / "net.pt")

    with pytest.raises(CannotImport, match="weights_only=True"):
        import_state_dict(
            tmp_path / "net.pt", read_architecture(CARD), name="net", command="fewstep"
        )
