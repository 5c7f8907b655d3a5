"""Weights as other programs save them: taken where nothing is lost, else told what to do."""

import codecs
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from typer.testing import CliRunner

from app.cli.main import app
from models.importing.architecture import read_architecture
from models.meta_training.recipes import FOLDER, read_recipe
from models.tasks.miniimagenet import load_miniimagenet
from tests.models.test_miniimagenet import CLASSES, small_copy
from tests.models.test_state_dict import (
    WRITTEN,
    command_line,
    imported,
    made,
    their_network,
    their_tensors,
)

WRAPPERS = ["module.", "_orig_mod.", "module._orig_mod.", "model.", "net.", "encoder.backbone."]
BIAS = "17.bias"


def with_prefix(prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in their_tensors().items()}


def card_with(line: str) -> str:
    return f"{line}\n{WRITTEN}"


@pytest.mark.parametrize("prefix", WRAPPERS)
def test_a_wrappers_prefix_is_named_and_taken_off_by_the_card(tmp_path: Path, prefix: str) -> None:
    refused, complaint = imported(tmp_path, with_prefix(prefix))
    taken, said = imported(tmp_path, with_prefix(prefix), card_with(f'strip_prefix = "{prefix}"'))

    assert (refused, taken) == (2, 0), said
    assert f"'{prefix}' stands before every name" in complaint
    assert f'strip_prefix = "{prefix}"' in complaint
    assert len(complaint.splitlines()) == 1
    theta = made(tmp_path).meta.theta
    assert torch.equal(theta["head.bias"], their_tensors()[BIAS])
    assert made(tmp_path).provenance["stripped"] == prefix


def test_the_wrapper_of_torch_itself_is_taken_off(tmp_path: Path) -> None:
    saved = nn.DataParallel(their_network()).state_dict()
    scales = {f"module.{4 * block + 1}.weight" for block in range(4)}
    tensors = {name: tensor for name, tensor in saved.items() if name not in scales}

    code, said = imported(tmp_path, tensors, card_with('strip_prefix = "module."'))

    assert code == 0, said


def test_a_prefix_before_some_names_is_counted(tmp_path: Path) -> None:
    tensors = {n if n.startswith("17") else f"body.{n}": t for n, t in their_tensors().items()}

    refused, complaint = imported(tmp_path, tensors)
    taken, said = imported(tmp_path, tensors, card_with('strip_prefix = "body."'))

    assert (refused, taken) == (2, 0), said
    assert "'body.' stands before 12 of 14 names" in complaint


def test_a_prefix_is_also_seen_where_nothing_is_renamed(tmp_path: Path) -> None:
    card = read_architecture(WRITTEN)
    ours = {f"module.{card.rename[name]}": tensor for name, tensor in their_tensors().items()}
    plain = WRITTEN.partition("[rename]")[0]

    code, complaint = imported(tmp_path, ours, plain)

    assert code == 2
    assert "'module.' stands before every name" in complaint


def test_a_prefix_that_is_half_taken_off_is_named_as_a_whole(tmp_path: Path) -> None:
    tensors = with_prefix("module._orig_mod.")

    code, complaint = imported(tmp_path, tensors, card_with('strip_prefix = "module."'))

    assert code == 2
    assert 'write strip_prefix = "module._orig_mod."' in complaint


@pytest.mark.parametrize(
    ("tensors", "card", "said"),
    [
        (with_prefix("module."), 'strip_prefix = "modul."', "strip_prefix: no name has it"),
        (with_prefix("module."), "strip_prefix = 1", "strip_prefix: expected a name's beginning"),
        (their_tensors() | {f"m.{BIAS}": torch.zeros(4)}, 'strip_prefix = "m."', "of its own"),
    ],
)
def test_a_prefix_that_cannot_be_meant_is_refused(
    tmp_path: Path, tensors: dict[str, Tensor], card: str, said: str
) -> None:
    code, complaint = imported(tmp_path, tensors, card_with(card))

    assert code == 2
    assert said in complaint


def test_names_that_no_prefix_explains_get_no_such_hint(tmp_path: Path) -> None:
    code, complaint = imported(tmp_path, {f"a.{n}.b": t for n, t in their_tensors().items()})

    assert code == 2
    assert "strip_prefix" not in complaint


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_that_float32_has_are_taken_at_their_value(
    tmp_path: Path, kind: torch.dtype
) -> None:
    tensors = {name: tensor.half().to(kind) for name, tensor in their_tensors().items()}

    code, said = imported(tmp_path, tensors)

    assert code == 0, said
    bias = made(tmp_path).meta.theta["head.bias"]
    assert bias.dtype == torch.float32
    assert bias.double().tolist() == tensors[BIAS].double().tolist()


def ones(dtype: torch.dtype) -> Tensor:
    return torch.ones(4).to(dtype)


@pytest.mark.parametrize(
    ("bias", "said"),
    [
        (torch.tensor([0.1, 0.5, 0.2, 1.0]).double() / 3, "float64 with "),
        (torch.tensor([1e300, 1, 1, 1], dtype=torch.float64), "float64 with 1 others of 4"),
        (torch.tensor([1e-300, 1, 1, 1], dtype=torch.float64), "float64 with 1 others of 4"),
        (torch.full((4,), torch.inf).half(), "expected finite values"),
        (ones(torch.int8), "got int8; where it is quantised"),
        (ones(torch.int64), "got int64"),
        (ones(torch.bool), "got bool"),
        (ones(torch.float8_e4m3fn), "got float8_e4m3fn; where it is quantised"),
        (ones(torch.complex64), "got complex64"),
    ],
)
def test_weights_that_float32_has_not_are_refused(tmp_path: Path, bias: Tensor, said: str) -> None:
    code, complaint = imported(tmp_path, their_tensors() | {BIAS: bias})

    assert code == 2
    assert "head.bias: expected" in complaint
    assert said in complaint
    assert ("save it by .float()" in complaint) == (said != "expected finite values")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"1.num_batches_tracked": torch.tensor(7)}, "where the support set normalises"),
        ({"1.running_mean": torch.ones(8)}, "leave them out of the file"),
        ({"0.lora_A.default.weight": torch.ones(2, 27)}, "merge them first"),
        ({"0.weight_g": torch.ones(8, 1, 1, 1)}, "remove_weight_norm"),
        ({"0.parametrizations.weight.original0": torch.ones(8, 1)}, "remove_parametrizations"),
        ({"epoch": torch.tensor(3), "optimizer.lr": torch.tensor(0.1)}, "more than a state_dict"),
        ({"1.weight": torch.full((8,), 2.0)}, "a normalisation's scale"),
    ],
)
def test_tensors_that_others_save_beside_weights_get_a_word(
    tmp_path: Path, more: dict[str, Tensor], said: str
) -> None:
    code, complaint = imported(tmp_path, their_tensors() | more)

    assert code == 2
    assert said in complaint
    assert len(complaint.splitlines()) == 1


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        ({"state_dict": {"a": torch.ones(2)}, "epoch": 3}, "weights_only=True)['state_dict']"),
        ({"model": {"a": torch.ones(2)}, "epoch": 3}, "weights_only=True)['model']"),
        ({"model_state_dict": {}, "optimizer_state_dict": {}}, "['model_state_dict']"),
        ({"model": torch.ones(2)}, "torch.load(FILE, weights_only=True), 'FILE"),
        ({"a": torch.ones(2)}, "torch.load(FILE, weights_only=True), 'FILE"),
        (nn.Sequential(nn.Linear(2, 2)), "weights_only=False).state_dict()"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_told_by_what_it_holds(
    tmp_path: Path, saved: object, said: str, zipped: bool
) -> None:
    file = tmp_path / "theirs.pt"
    torch.save(saved, file, _use_new_zipfile_serialization=zipped)

    code, complaint = command_line(tmp_path, file)

    assert code == 2
    assert said in complaint
    assert "runs code of its own" in complaint


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.ones(2))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (npz(), "got an .npz; safetensors.numpy.save_file"),
        (b"PK\x03\x04 and no more", "runs code of its own"),
        (pickle.dumps({"a": 1})[:9], "runs code of its own"),
        (b"\x80\x04\x8e" + b"\xff" * 8, "runs code of its own"),
    ],
)
def test_what_only_looks_like_a_pickle_is_one_line_too(
    tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "theirs.safetensors"
    file.write_bytes(content)

    code, complaint = command_line(tmp_path, file)

    assert code == 2
    assert said in complaint
    assert len(complaint.splitlines()) == 1


def by_a_card(folder: Path, written: bytes) -> tuple[int, str]:
    """Exit code and output of the command with a card of these bytes."""
    save_file(their_tensors(), folder / "theirs.safetensors")
    card = folder / "windows.toml"
    card.write_bytes(written)
    files = [str(folder / "theirs.safetensors"), "--architecture", str(card)]
    out = ["--name", "theirs", "--out", str(folder / "made.safetensors")]
    result = CliRunner().invoke(app, ["checkpoints", "import", *files, *out])
    return result.exit_code, result.output


WINDOWS = WRITTEN.replace("\n", "\r\n").replace('licence = "CC0"', 'licence = "für alle"')


@pytest.mark.parametrize(
    "written",
    [codecs.BOM_UTF8 + WINDOWS.encode(), WINDOWS.encode(), codecs.BOM_UTF8 + WRITTEN.encode()],
)
def test_a_card_from_a_windows_editor_is_read(tmp_path: Path, written: bytes) -> None:
    code, said = by_a_card(tmp_path, written)

    assert code == 0, said
    licence = made(tmp_path).provenance["licence"]
    assert licence == ("für alle" if b"\r\n" in written else "CC0")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (WINDOWS.encode("utf-16"), "expected UTF-8, got UTF-16; save it as UTF-8"),
        (codecs.BOM_UTF16_BE + WINDOWS.encode("utf-16-be"), "expected UTF-8, got UTF-16;"),
        (WRITTEN.encode("utf-16-le"), "expected UTF-8, got UTF-16, or zeros"),
        (WINDOWS.encode("latin-1"), f"got other bytes in line {WRITTEN.count(chr(10)) - 1}; save"),
    ],
)
def test_a_card_in_another_encoding_is_refused_in_words(
    tmp_path: Path, written: bytes, said: str
) -> None:
    code, complaint = by_a_card(tmp_path, written)

    assert code == 2
    assert said in complaint
    assert "windows.toml" in complaint


def test_a_recipe_from_a_windows_editor_is_read(tmp_path: Path) -> None:
    text = (FOLDER / "sinusoid.toml").read_text()
    file = tmp_path / "mine.toml"
    file.write_bytes(codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode())

    assert read_recipe(file) == read_recipe("sinusoid")

    file.write_bytes(text.encode("utf-16"))
    with pytest.raises(ValueError, match=r"mine\.toml: expected UTF-8, got UTF-16"):
        read_recipe(file)


def test_lists_with_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    folder = small_copy(tmp_path)
    for name in ("train.csv", "val.csv", "test.csv"):
        written = (folder / name).read_bytes()
        (folder / name).write_bytes(codecs.BOM_UTF8 + written)

    assert len(load_miniimagenet(folder, classes=CLASSES, each=2).names) == 8
