"""A policy's checkpoint: what it says of acting, read strictly, and what comes back."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

import models
from models.files.acting import Acting, read_acting
from models.files.checkpoint import (
    Checkpoint,
    InvalidCheckpoint,
    describe_checkpoint,
    dump_checkpoint,
    load_checkpoint,
    read_metadata,
    tensors_of,
)
from models.files.served_loop import ServedInnerLoop
from models.heads.layer import Head
from models.learner import Learner
from models.networks import build_network
from models.outer_loop import MetaParams
from models.policies.policy import Policy, initial_policy

CONFIG = {"inputs": 3, "hidden": [4], "normalised": False}
CONTINUOUS = Acting(
    actions="continuous",
    low=(-2.0, 0.0),
    high=(2.0, 0.5),
    max_episode_steps=200,
    gamma=0.99,
    gae_lambda=1.0,
    step_sizes=(0.1, 0.05, 0.025),
    episodes=20,
    dt=0.02,
    environment="A point on the plane.",
)
DISCRETE = replace(CONTINUOUS, actions="discrete", low=(), high=())
BOTH = pytest.mark.parametrize("acting", [CONTINUOUS, DISCRETE])


def a_checkpoint(acting: Acting) -> Checkpoint:
    network = build_network("mlp", CONFIG)
    policy = Policy(network=network, actions=2, discrete=acting.actions == "discrete")
    theta = initial_policy(policy, 3, torch.Generator().manual_seed(1))
    return Checkpoint(
        name="point",
        learner=Learner(network=network, head=Head(kind="linear", outputs=2), task="policy"),
        meta=MetaParams(theta=theta),
        network="mlp",
        network_config=CONFIG,
        input_shape=(3,),
        preprocessing=None,
        max_way=2,
        inner_loop=ServedInnerLoop(steps=1, step_size=0.1),
        provenance={"seed": 1},
        acting=acting,
    )


def rewritten(data: bytes, **changes: object) -> bytes:
    """The same file with other metadata."""
    length = int.from_bytes(data[:8], "little")
    about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["fewstep"])
    return save(load(data), metadata={"fewstep": json.dumps(about | changes)})


def said(acting: Acting) -> dict[str, Any]:
    """As JSON has it."""
    table: dict[str, Any] = json.loads(json.dumps(asdict(acting)))
    return table


@BOTH
def test_what_is_said_of_acting_comes_back(acting: Acting) -> None:
    assert read_acting(said(acting), 2) == acting


WRONG: list[tuple[str, Any]] = [
    ("actions", "both"),
    ("actions", None),
    ("actions", "discrete"),  # that has no bounds
    ("low", [-2.0]),
    ("low", [-2.0, 0.5]),  # as high as high
    ("low", [-2.0, None]),
    ("low", [-2.0, True]),
    ("low", [[-2.0], [0.0]]),
    ("low", None),
    ("low", "ab"),
    ("high", []),
    ("high", [2.0, float("inf")]),
    ("high", [2.0, 10**400]),
    ("max_episode_steps", 0),
    ("max_episode_steps", 200.0),
    ("max_episode_steps", True),
    ("max_episode_steps", 1_000_001),
    ("gamma", 1.5),
    ("gamma", -0.1),
    ("gamma", float("nan")),
    ("gamma", "0.99"),
    ("gamma", 10**400),
    ("gae_lambda", 2),
    ("gae_lambda", None),
    ("step_sizes", []),
    ("step_sizes", [0.1, 0.0]),
    ("step_sizes", [0.1, float("inf")]),
    ("step_sizes", 0.1),
    ("step_sizes", ["0.1"]),
    ("episodes", 0),
    ("episodes", 20.5),
    ("episodes", None),
    ("dt", 0),
    ("dt", float("inf")),
    ("dt", -(10**400)),
    ("dt", "fast"),
    ("environment", None),
    ("environment", ["a point"]),
    ("environment", "a" * 4001),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{n}-{str(v)[:12]}" for n, v in WRONG])
def test_a_wrong_field_is_refused(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        read_acting(said(CONTINUOUS) | {name: value}, 2)
    with pytest.raises(InvalidCheckpoint):
        load_checkpoint(
            rewritten(
                dump_checkpoint(a_checkpoint(CONTINUOUS)),
                policy=said(CONTINUOUS) | {name: value},
            )
        )


@pytest.mark.parametrize("name", list(asdict(CONTINUOUS)))
def test_a_missing_field_is_refused(name: str) -> None:
    table = said(CONTINUOUS)
    del table[name]

    with pytest.raises(ValueError, match="expected exactly"):
        read_acting(table, 2)


@pytest.mark.parametrize("table", [None, [], "policy", said(CONTINUOUS) | {"extra": 1}])
def test_another_table_is_refused(table: Any) -> None:
    with pytest.raises(ValueError, match="expected exactly"):
        read_acting(table, 2)


def test_bounds_of_a_discrete_policy_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 bounds"):
        read_acting(said(DISCRETE) | {"low": [-1.0, -1.0], "high": [1.0, 1.0]}, 2)


def test_step_sizes_are_of_the_rounds_and_the_last_one_from_there_on() -> None:
    assert [CONTINUOUS.step_size(number) for number in range(1, 6)] == [
        *(0.1, 0.05, 0.025),
        *(0.025, 0.025),
    ]


@BOTH
def test_a_policy_comes_back_as_it_was(acting: Acting) -> None:
    checkpoint = a_checkpoint(acting)
    data = dump_checkpoint(checkpoint)

    back = load_checkpoint(data)

    assert back.acting == acting
    assert describe_checkpoint(back) == describe_checkpoint(checkpoint)
    assert back.meta.theta.keys() == checkpoint.meta.theta.keys()
    assert all(torch.equal(back.meta.theta[n], t) for n, t in checkpoint.meta.theta.items())
    assert dump_checkpoint(back) == data
    expected = {name: value.shape for name, value in tensors_of(read_metadata(data)).items()}
    assert expected == {name: value.shape for name, value in load(data).items()}


@BOTH
def test_a_policy_without_its_table_is_refused(acting: Acting) -> None:
    data = dump_checkpoint(a_checkpoint(acting))

    with pytest.raises(InvalidCheckpoint, match="expected exactly"):
        load_checkpoint(rewritten(data, policy=None))


def test_the_table_of_another_task_is_refused() -> None:
    data = dump_checkpoint(a_checkpoint(DISCRETE))

    with pytest.raises(InvalidCheckpoint, match="another task"):
        load_checkpoint(rewritten(data, task="regression"))


def test_deviations_are_a_continuous_policys_alone() -> None:
    both = [dump_checkpoint(a_checkpoint(acting)) for acting in (CONTINUOUS, DISCRETE)]

    for data, other in zip(both, (DISCRETE, CONTINUOUS), strict=True):
        with pytest.raises(InvalidCheckpoint):
            load_checkpoint(rewritten(data, policy=said(other)))


def test_older_files_are_still_read() -> None:
    versions = set()
    for path in sorted(Path(models.__path__[0], "checkpoints").glob("*.safetensors")):
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["fewstep"])
        versions.add(about["format_version"])
        if about["task"] != "policy":
            assert load_checkpoint(data).acting is None, path.name

    assert min(versions) < 5


@pytest.mark.parametrize("version", [0, 6, "5", None])
def test_a_version_that_is_not_known_is_refused(version: Any) -> None:
    with pytest.raises(InvalidCheckpoint, match="version 1 to 5"):
        load_checkpoint(rewritten(dump_checkpoint(a_checkpoint(DISCRETE)), format_version=version))
