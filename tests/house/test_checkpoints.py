"""``fewstep checkpoints``: added once under the next version, listed, and refused in one line."""

import math
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from typer.testing import CliRunner

from app.checkpoints.registry import committed_folder, shipped_files
from app.cli.main import app
from app.settings import environment, read_settings
from models.files.checkpoint import dump_checkpoint, load_checkpoint

[SINUSOID] = [path for path in shipped_files() if path.stem == "sinusoid"]


def command_line(folder: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(
        app, ["checkpoints", *arguments], env=environment(read_settings(data_dir=folder / "data"))
    )
    return result.exit_code, result.output


def renamed(folder: Path, name: str) -> Path:
    """The shipped sinusoid under another name."""
    target = folder / "file.safetensors"
    target.write_bytes(dump_checkpoint(replace(load_checkpoint(SINUSOID.read_bytes()), name=name)))
    return target


def test_an_added_checkpoint_is_listed_by_name_version_and_digest(tmp_path: Path) -> None:
    file = renamed(tmp_path, "curve")

    code, said = command_line(tmp_path, "add", str(file))

    assert code == 0
    assert said == f"curve:1  sha256:{sha256(file.read_bytes()).hexdigest()}\n"
    assert command_line(tmp_path, "list") == (0, said)


def test_the_same_file_again_stays_the_same_version(tmp_path: Path) -> None:
    file = renamed(tmp_path, "curve")

    once, again = (command_line(tmp_path, "add", str(file)) for _ in range(2))

    assert once == again


def test_what_a_tenant_adds_is_its_own(tmp_path: Path) -> None:
    command_line(tmp_path, "add", str(renamed(tmp_path, "curve")), "--tenant", "lab")

    assert command_line(tmp_path, "list") == (0, "")
    assert command_line(tmp_path, "list", "--tenant", "lab")[1].startswith("curve:1 ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        (b"", "expected a .safetensors file with 'fewstep' metadata"),
        (b"PK\x03\x04" * 9, "expected a .safetensors file with 'fewstep' metadata"),
        (SINUSOID.read_bytes()[:-8], "the tensors cannot be read"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "file.safetensors"
    if content is not None:
        file.write_bytes(content)

    code, complaint = command_line(tmp_path, "add", str(file))

    assert code == 2
    assert said in complaint
    assert len(complaint.splitlines()) == 1


def test_a_name_that_no_request_could_name_is_refused(tmp_path: Path) -> None:
    code, said = command_line(tmp_path, "add", str(renamed(tmp_path, "My Model")))

    assert code == 2
    assert "'My Model'" in said


def test_nothing_is_added_to_the_shipped_checkpoints(tmp_path: Path) -> None:
    code, said = command_line(
        tmp_path, "add", str(renamed(tmp_path, "curve")), "--tenant", "shared"
    )

    assert code == 2
    assert said.startswith("fewstep: the tenant 'shared' is reserved")
    assert len(said.splitlines()) == 1
    assert command_line(tmp_path, "list", "--tenant", "shared") == (0, "")


def test_a_checkpoint_whose_queries_see_each_other_is_refused(tmp_path: Path) -> None:
    transductive = committed_folder() / "paper" / "omniglot-5way-1shot.safetensors"

    code, said = command_line(tmp_path, "add", str(transductive))

    assert code == 2
    assert "would depend on the other inputs of its request" in said
    assert len(said.splitlines()) == 1
    assert command_line(tmp_path, "list") == (0, "")


def of_training(provenance: dict[str, Any], mean: float) -> bytes:
    """The shipped sinusoid as the file of a training that went so."""
    sinusoid = load_checkpoint(SINUSOID.read_bytes())
    return dump_checkpoint(replace(sinusoid, provenance=provenance, evaluation=[{"mean": mean}]))


def without_a_number() -> bytes:
    """The shipped sinusoid, one of its weights NaN."""
    sinusoid = load_checkpoint(SINUSOID.read_bytes())
    theta = {name: tensor.clone() for name, tensor in sinusoid.meta.theta.items()}
    theta["head.bias"][0] = torch.nan
    return dump_checkpoint(replace(sinusoid, meta=replace(sinusoid.meta, theta=theta)))


def state() -> bytes:
    """What a training keeps beside its checkpoint."""
    return save({"now.theta.a": np.zeros(2)}, metadata={"state": "{}"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (of_training({"iterations": 5, "planned": 30}, 0.5), "is at outer step 5 of 30: go on"),
        (of_training({"iterations": 30, "planned": 30}, math.nan), "its score is not finite"),
        (of_training({}, math.inf), "its score is not finite"),
        (without_a_number(), "expected finite weights"),
        (state(), "expected a checkpoint, got the state of its training"),
    ],
)
def test_what_a_training_left_before_its_end_is_refused_in_one_line(
    tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "file.safetensors"
    file.write_bytes(content)

    code, complaint = command_line(tmp_path, "add", str(file))

    assert code == 2
    assert said in complaint
    assert len(complaint.splitlines()) == 1
    assert command_line(tmp_path, "list") == (0, "")


def test_a_training_that_ended_is_added(tmp_path: Path) -> None:
    file = tmp_path / "file.safetensors"
    file.write_bytes(of_training({"iterations": 30, "planned": 30}, 0.5))

    assert command_line(tmp_path, "add", str(file))[0] == 0
