"""A network that standardises its inputs is the plain one on inputs standardised before."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.engine.layers import forward_stacked
from models.episodes import labelled
from models.files.adapted_file import dump_adapted
from models.files.checkpoint import Checkpoint, dump_checkpoint, load_checkpoint
from models.files.served_loop import ServedInnerLoop
from models.heads.layer import Head
from models.inner_loop import adapt
from models.learner import Learner
from models.networks import build_network
from models.normalisation import forward
from models.outer_loop import MetaParams
from models.served import load_served

PAGE = Path(__file__).parents[2] / "docs" / "reproduce_phi.md"
CENTRE, SCALE = [300.0, -2.0, 0.5], [1000.0, 0.1, 4.0]


def networks(*, normalised: bool) -> tuple[nn.Module, nn.Module]:
    """The same weights in a plain network and in one that standardises."""
    plain = {"inputs": 3, "hidden": [6, 5], "normalised": normalised}
    torch.manual_seed(0)
    one = build_network("mlp", plain)
    torch.manual_seed(0)
    return one, build_network("mlp", plain | {"centre": CENTRE, "scale": SCALE})


def raw_and_standard(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    standard = torch.randn(*shape, 3, generator=torch.Generator().manual_seed(1))
    return standard * torch.tensor(SCALE) + torch.tensor(CENTRE), standard


@pytest.mark.parametrize("normalised", [True, False])
def test_one_input_set_and_stacked_ones_are_standardised_first(normalised: bool) -> None:
    plain, standardising = networks(normalised=normalised)
    raw, standard = raw_and_standard(2, 7)
    params = {name: value.expand(2, *value.shape) for name, value in plain.named_parameters()}

    torch.testing.assert_close(
        forward(standardising, None, raw[0])[0], forward(plain, None, standard[0])[0]
    )
    torch.testing.assert_close(
        forward_stacked(standardising, params, raw)[0], forward_stacked(plain, params, standard)[0]
    )
    assert standardising.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize(
    "wrong",
    [
        {"centre": [0.0, 0.0], "scale": [1.0, 1.0]},
        {"centre": [0.0, 0.0, 0.0]},
        {"scale": [1.0, 1.0, 1.0]},
        {"centre": [0.0, 0.0, 0.0], "scale": [1.0, 0.0, 1.0]},
        {"centre": [0.0, float("nan"), 0.0], "scale": [1.0, 1.0, 1.0]},
    ],
)
def test_a_standard_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected 3 numbers as centre, and as many above 0"):
        build_network("mlp", {"inputs": 3, "hidden": [6], "normalised": True} | wrong)


def checkpoint() -> Checkpoint:
    _, network = networks(normalised=True)
    theta = {name: value.detach().clone() for name, value in network.named_parameters()}
    return Checkpoint(
        name="standardising",
        learner=Learner(network=network, head=Head(kind="prototype"), task="classification"),
        meta=MetaParams(theta=theta),
        network="mlp",
        network_config={
            "inputs": 3, "hidden": [6, 5], "normalised": True, "centre": CENTRE, "scale": SCALE
        },
        input_shape=(3,),
        preprocessing=None,
        max_way=5,
        inner_loop=ServedInnerLoop(steps=2, step_size=0.1),
        provenance={},
    )  # fmt: skip


def test_the_standard_travels_to_the_adapted_file_where_numpy_finds_it(tmp_path: Path) -> None:
    loaded = load_checkpoint(dump_checkpoint(checkpoint()))
    x, _ = raw_and_standard(6)
    support = labelled(x, torch.tensor([0, 0, 0, 1, 1, 1]))
    adapted = adapt(loaded.learner, loaded.meta.theta, support, loaded.recipe, outputs=2)
    description = {
        "task": "classification",
        "network": {"name": "mlp", **loaded.network_config},
        "head": {"kind": "prototype"},
        "normalisation": "support",
        "input": {"shape": [3], "preprocessing": None},
        "classes": ["a", "b"],
        "outputs": 2,
    }
    file = tmp_path / "phi.safetensors"
    file.write_bytes(dump_adapted(adapted, description))

    shown = load_served(file.read_bytes()).predict(x.numpy())

    pieces = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    page: dict[str, Any] = {}
    exec("\n".join(piece for piece in pieces if "def " in piece), page)
    expected = torch.from_numpy(shown[:, :2]).softmax(dim=1).numpy()  # behind it the novelty
    np.testing.assert_allclose(page["predict"](file, x.numpy()), expected, atol=1e-5)
