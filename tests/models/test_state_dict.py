"""A state_dict and its architecture: a checkpoint of the same features, or a refusal, and why."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from typer.testing import CliRunner

from app.cli.main import app
from models.files.checkpoint import Checkpoint, load_checkpoint
from models.importing.architecture import read_architecture, theta_like
from models.importing.faults import CannotImport
from models.importing.state_dict import fit_tensors
from models.normalisation import forward

ROOT = Path(__file__).parents[2]
CARD = """
task = "classification"
input_shape = [3, 16, 16]
max_way = 4

[network]
name = "conv4"
channels = 3
filters = 8
pooled = true
flatten = true
bias = true

[head]
kind = "linear"
outputs = 4

[inner_loop]
steps = 5
step_size = 0.1

[preprocessing]
kind = "picture"
mode = "RGB"
size = [16, 16]
resample = "bilinear"
invert = false
background = 255

[rename]
{rename}

[provenance]
licence = "CC0"
trained = 2024-05-01
"""
# Their nn.Sequential counts its layers: convolution, normalisation, ReLU, pooling, four times.
RENAME = {
    f"{4 * block + layer}.{kind}": f"blocks.{block}.{ours}.{kind}"
    for block in range(4)
    for layer, ours, kind in ((0, "conv", "weight"), (0, "conv", "bias"), (1, "norm", "bias"))
} | {"17.weight": "head.weight", "17.bias": "head.bias"}
TABLE = "\n".join(f'"{theirs}" = "{ours}"' for theirs, ours in RENAME.items())
WRITTEN = CARD.format(rename=TABLE)
INKED = 'preparation = "ink"'


def their_network() -> nn.Sequential:
    """Four blocks, flattened, and a linear layer, as anyone would write them in PyTorch."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels in (3, 8, 8, 8):
        norm = nn.BatchNorm2d(8, eps=1e-3, track_running_stats=False)
        nn.init.normal_(norm.bias)
        layers += [nn.Conv2d(channels, 8, 3, padding=1), norm, nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 4))


def their_tensors() -> dict[str, Tensor]:
    """Their state_dict without the scales of the normalisations, which are 1 and have no place."""
    return {name: t for name, t in their_network().state_dict().items() if name in RENAME}


def imported(folder: Path, tensors: dict[str, Tensor], card: str = WRITTEN) -> tuple[int, str]:
    """Exit code and output of the command; the checkpoint is made.safetensors in the folder."""
    save_file(tensors, folder / "theirs.safetensors")
    return command_line(folder, folder / "theirs.safetensors", card)


def command_line(folder: Path, file: Path, card: str | None = WRITTEN) -> tuple[int, str]:
    described: list[str] = []
    if card is not None:
        (folder / "card.toml").write_text(card)
        described = ["--architecture", str(folder / "card.toml")]
    out = ["--name", "theirs", "--out", str(folder / "made.safetensors")]
    result = CliRunner().invoke(app, ["checkpoints", "import", str(file), *described, *out])
    return result.exit_code, result.output


def made(folder: Path) -> Checkpoint:
    return load_checkpoint((folder / "made.safetensors").read_bytes())


def test_an_imported_state_dict_gives_the_features_of_its_own_network(tmp_path: Path) -> None:
    network = their_network()

    code, said = imported(tmp_path, their_tensors())

    assert code == 0, said
    checkpoint = made(tmp_path)
    body = {n: t for n, t in checkpoint.meta.theta.items() if not n.startswith("head.")}
    x = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    features, _ = forward(checkpoint.learner.network, body, x)
    with torch.no_grad():
        torch.testing.assert_close(features, network[:-1](x), rtol=1e-4, atol=1e-5)
        scores = features @ checkpoint.meta.theta["head.weight"].T
        scores = scores + checkpoint.meta.theta["head.bias"]
        torch.testing.assert_close(scores, network(x), rtol=1e-4, atol=1e-5)


def test_the_checkpoint_keeps_what_the_architecture_says(tmp_path: Path) -> None:
    imported(tmp_path, their_tensors())

    checkpoint = made(tmp_path)

    assert (checkpoint.name, checkpoint.max_way) == ("theirs", 4)
    assert (checkpoint.recipe.steps, checkpoint.recipe.step_size) == (5, 0.1)
    assert checkpoint.provenance["command"] == (
        "fewstep checkpoints import theirs.safetensors --architecture card.toml --name theirs"
    )
    assert checkpoint.provenance["licence"] == "CC0"
    assert checkpoint.provenance["renamed"] == RENAME
    assert [*checkpoint.provenance["files"]] == ["theirs.safetensors"]


def test_a_checkpoint_that_was_imported_can_be_added_but_not_evaluated(tmp_path: Path) -> None:
    imported(tmp_path, their_tensors())

    file, data = str(tmp_path / "made.safetensors"), {"FEWSTEP_DATA_DIR": str(tmp_path / "data")}
    added = CliRunner().invoke(app, ["checkpoints", "add", file], env=data)
    evaluated = CliRunner().invoke(app, ["evaluate", file], env=data)

    assert (added.exit_code, added.output.split()[0]) == (0, "theirs:1")
    assert evaluated.exit_code == 2
    assert "nothing says what to evaluate it on" in evaluated.output


def test_the_architecture_in_the_documentation_is_one() -> None:
    text = (ROOT / "docs" / "importing.md").read_text()
    written = text.partition("```toml\n")[2].partition("```")[0]

    architecture = read_architecture(written)

    assert (architecture.network, architecture.max_way) == ("conv4", 5)
    assert {*architecture.rename.values()} <= {*theta_like(architecture)}


def without(name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in their_tensors().items() if key != name}


BIAS, WEIGHT = "17.bias", "17.weight"


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (without(BIAS), "rename: the file has no ['17.bias']"),
        (their_tensors() | {"1.weight": torch.ones(8)}, "unknown ['1.weight']"),
        (their_tensors() | {BIAS: torch.zeros(5)}, "head.bias: expected float32 (4,), got float32"),
        (their_tensors() | {WEIGHT: torch.zeros(8, 4)}, "head.weight: expected float32 (4, 8)"),
        (their_tensors() | {BIAS: torch.full((4,), torch.nan)}, "head.bias: expected finite"),
        (their_tensors() | {BIAS: torch.full((4,), -torch.inf)}, "head.bias: expected finite"),
        ({}, "rename: the file has no"),
    ],
)
def test_tensors_that_are_not_the_networks_are_refused(
    tmp_path: Path, tensors: dict[str, Tensor], said: str
) -> None:
    code, complaint = imported(tmp_path, tensors)

    assert code == 2
    assert said in complaint
    assert len(complaint.splitlines()) == 1
    assert not (tmp_path / "made.safetensors").exists()


def test_a_missing_tensor_is_named_as_the_network_names_it() -> None:
    architecture = read_architecture(CARD.format(rename=""))
    ours = {RENAME[name]: tensor for name, tensor in without(BIAS).items()}

    with pytest.raises(CannotImport, match=r"missing \['head\.bias'\], unknown \[\]"):
        fit_tensors(ours, architecture)


def test_two_tensors_under_one_name_are_refused() -> None:
    architecture = read_architecture(CARD.format(rename='"a" = "head.bias"'))

    with pytest.raises(CannotImport, match="a name of its own"):
        fit_tensors({"a": torch.zeros(4), "head.bias": torch.zeros(4)}, architecture)


class Trap:
    """Unpickled, it would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.bin", "model.safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("card", [WRITTEN, None])
def test_a_pickle_is_never_opened(
    tmp_path: Path, name: str, zipped: bool, card: str | None
) -> None:
    trap = Trap(tmp_path / "mark")
    if zipped:
        torch.save({"weight": trap}, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(pickle.dumps({"weight": trap}))

    code, complaint = command_line(tmp_path, tmp_path / name, card)

    assert code == 2
    assert "a pickled file runs code of its own" in complaint
    assert "safetensors.torch.save_file" in complaint
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("content", [b"", b"\x08" + bytes(7), bytes(64), b"{" * 64])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.safetensors").write_bytes(content)

    code, complaint = command_line(tmp_path, tmp_path / "broken.safetensors")

    assert code == 2
    assert "expected a .safetensors file" in complaint


def test_a_checkpoint_needs_no_import(tmp_path: Path) -> None:
    imported(tmp_path, their_tensors())
    (tmp_path / "made.safetensors").rename(tmp_path / "again.safetensors")

    code, complaint = command_line(tmp_path, tmp_path / "again.safetensors")

    assert code == 2
    assert "a checkpoint, which needs no import" in complaint


def test_a_state_dict_needs_an_architecture_and_a_bundle_takes_none(tmp_path: Path) -> None:
    save_file(their_tensors(), tmp_path / "theirs.safetensors")
    (tmp_path / "model.index").write_bytes(b"")

    alone = command_line(tmp_path, tmp_path / "theirs.safetensors", None)
    described = command_line(tmp_path, tmp_path / "model")
    absent = command_line(tmp_path, tmp_path / "nothing")

    assert [code for code, _ in (alone, described, absent)] == [2, 2, 2]
    assert "say with --architecture FILE.toml" in alone[1]
    assert "leave --architecture out" in described[1]
    assert "there is no file" in absent[1]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('task = "classification"', "", "missing ['task']"),
        ('task = "classification"', 'task = "ranking"', "task: expected one of"),
        ("max_way = 4", "max_way = 5", "max_way: expected at least 2 and at most the head's 4"),
        ("max_way = 4", 'max_way = "4"', "the architecture cannot be read"),
        ("max_way = 4", "max_ways = 4", "unknown ['max_ways']"),
        ("max_way = 4", "max_way = ", "the architecture cannot be read"),
        ("[3, 16, 16]", "[3, 16, 8]", "as preprocessing makes it"),
        ("[3, 16, 16]", "[3, 99999, 99999]", "1000000 values at most"),
        ("[3, 16, 16]", "3", "the architecture cannot be read"),
        ("filters = 8", "filters = 8\nwidth = 2", "the network cannot be built"),
        ('name = "conv4"', 'name = "resnet"', "unknown network 'resnet'"),
        ("channels = 3", "channels = 1", "the network does not take inputs (3, 16, 16)"),
        ("outputs = 4", "outputs = 0", "head.outputs: expected a positive number"),
        ("step_size = 0.1", "step_size = nan", "inner_loop.step_size"),
        ("step_size = 0.1", 'step_size = "big"', "the architecture cannot be read"),
        ("steps = 5", "steps = -1", "inner_loop.steps"),
        ("steps = 5", "steps = 5\nlearned = true", "neither learned step sizes nor a prior"),
        ('mode = "RGB"', 'mode = "CMYK"', "preprocessing.mode"),
        ("invert = false", 'invert = false\npreparation = "sepia"', "preprocessing.preparation"),
        ("invert = false", "invert = false\npreparation = 1", "preprocessing.preparation"),
        ("invert = false", "invert = false\nstroke = 0.1", "preprocessing.stroke"),
        ("invert = false", f"invert = false\n{INKED}\nstroke = 0.3", "preprocessing.stroke"),
        ("invert = false", f"invert = false\n{INKED}\nstroke = 0", "preprocessing.stroke"),
        ("invert = false", f'invert = false\n{INKED}\nstroke = "wide"', "preprocessing.stroke"),
        ('mode = "RGB"', "mode = []", "the architecture cannot be read"),
        ("invert = false", "invert = 0", "preprocessing.invert"),
        ("background = 255", "background = 256", "a grey level"),
        ("background = 255", "", "missing ['background']"),
    ],
)
def test_an_architecture_that_cannot_be_served_is_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in WRITTEN

    code, complaint = imported(tmp_path, their_tensors(), WRITTEN.replace(old, new, 1))

    assert code == 2
    assert said in complaint
    assert len(complaint.splitlines()) == 1


@pytest.mark.parametrize(
    "said",
    [
        {"preparation": "as-is"},
        {"preparation": "photo"},
        {"preparation": "ink"},
        {"preparation": "pen-on-paper", "stroke": 0.1},
    ],
)
def test_a_preparation_is_kept_as_it_is_written(tmp_path: Path, said: dict[str, Any]) -> None:
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in said.items())
    card = WRITTEN.replace("background = 255\n", f"background = 255\n{lines}", 1)

    code, told = imported(tmp_path, their_tensors(), card)

    assert code == 0, told
    assert (made(tmp_path).preprocessing or {}).items() >= said.items()


@pytest.mark.parametrize("name", ["", "Big", "a:1", "../up", "x" * 65])
def test_a_name_that_no_request_could_name_is_refused(tmp_path: Path, name: str) -> None:
    save_file(their_tensors(), tmp_path / "theirs.safetensors")
    (tmp_path / "card.toml").write_text(WRITTEN)

    arguments = [
        str(tmp_path / "theirs.safetensors"),
        "--architecture",
        str(tmp_path / "card.toml"),
    ]
    result = CliRunner().invoke(app, ["checkpoints", "import", *arguments, "--name", name])

    assert result.exit_code == 2
    assert "expected 1 to 64" in result.output
