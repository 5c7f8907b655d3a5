"""Checkpoint and adapted files: what comes back, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import load, save

from models.episodes import labelled
from models.files.adapted_file import dump_adapted, load_flat
from models.files.checkpoint import (
    Checkpoint,
    InvalidCheckpoint,
    describe_checkpoint,
    dump_checkpoint,
    load_checkpoint,
)
from models.files.served_loop import ServedInnerLoop
from models.heads.layer import Head
from models.inner_loop import adapt
from models.learner import InnerLoop, Learner, predict
from models.networks import build_network
from models.outer_loop import MetaParams
from models.served import load_served, serve_theta

CONFIG = {"channels": 1, "filters": 4, "pooled": True, "flatten": True}


def small_checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    network = build_network("conv4", CONFIG)
    theta = {name: value.detach().clone() for name, value in network.named_parameters()}
    head = Head(kind="prototype", scale=0.1)
    return Checkpoint(
        name="small",
        learner=Learner(network=network, head=head, task="classification"),
        meta=MetaParams(theta=theta),
        network="conv4",
        network_config=CONFIG,
        input_shape=(1, 28, 28),
        preprocessing=None,
        max_way=5,
        inner_loop=ServedInnerLoop(steps=2, step_size=0.1),
        provenance={"seed": 1},
    )


def rewritten(data: bytes, **changes: object) -> bytes:
    """The same file with other metadata."""
    length = int.from_bytes(data[:8], "little")
    about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["fewstep"])
    return save(load(data), metadata={"fewstep": json.dumps(about | changes)})


def test_a_checkpoint_comes_back_as_it_was() -> None:
    checkpoint = small_checkpoint()

    back = load_checkpoint(dump_checkpoint(checkpoint))

    assert describe_checkpoint(back) == describe_checkpoint(checkpoint)
    assert all(torch.equal(back.meta.theta[n], t) for n, t in checkpoint.meta.theta.items())
    assert dump_checkpoint(back) == dump_checkpoint(checkpoint)


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": 5},
        {"format": "pickle"},
        {"trust_remote_code": True},
        {"network": {"name": "resnet"}},
        {"network": {"name": "conv4", **CONFIG, "depth": 5}},
        {"head": {"kind": "prototype", "auto_map": "x"}},
    ],
)
def test_unknown_metadata_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidCheckpoint):
        load_checkpoint(rewritten(dump_checkpoint(small_checkpoint()), **changes))


@pytest.mark.parametrize("data", [b"", b"short", b"\xff" * 64, (2**62).to_bytes(8, "little")])
def test_bytes_that_are_no_checkpoint_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidCheckpoint):
        load_checkpoint(data)


@pytest.mark.parametrize("fault", ["missing", "transposed", "extra", "double", "not-a-number"])
def test_tensors_that_are_not_the_networks_are_refused(fault: str) -> None:
    data = dump_checkpoint(small_checkpoint())
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    tensors = load(data)
    name = "theta.blocks.0.conv.weight"
    if fault == "missing":
        del tensors[name]
    elif fault == "transposed":
        tensors[name] = tensors[name].transpose(0, 1).contiguous()
    elif fault == "extra":
        tensors["theta.../../x"] = torch.zeros(1)
    elif fault == "double":
        tensors[name] = tensors[name].double()
    else:
        tensors[name][0, 0, 0, 0] = float("nan")

    with pytest.raises(InvalidCheckpoint):
        load_checkpoint(save(tensors, metadata=metadata))


def test_a_saved_phi_predicts_the_same_bits() -> None:
    checkpoint = small_checkpoint()
    x = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    recipe = InnerLoop(steps=2, step_size=0.1)
    adapted = adapt(
        checkpoint.learner,
        checkpoint.meta.theta,
        labelled(x, torch.tensor([0, 1, 2, 0])),
        recipe,
        outputs=3,
    )
    about = {
        "task": "classification",
        "network": {"name": "conv4", **CONFIG},
        "head": {"kind": "prototype"},
        "normalisation": "support",
        "input": {"shape": [1, 28, 28], "preprocessing": None},
        "classes": ["a", "b", "c"],
        "outputs": 3,
    }

    data = dump_adapted(adapted, about)
    served = load_served(data)

    expected = predict(checkpoint.learner, adapted, x).detach().numpy()
    assert served.predict(x.numpy()).tobytes() == expected.tobytes()
    assert about.items() <= load_flat(data).description.items()


def test_theta_alone_predicts_only_where_no_support_statistics_are_needed() -> None:
    assert serve_theta(small_checkpoint()) is None
