"""A PyTorch ``state_dict`` in a .safetensors file, with an architecture written beside it.

Pickled files are not read: unpickling runs whatever code they name.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from models.importing.architecture import Architecture, make_checkpoint, theta_like
from models.importing.faults import CannotImport
from models.normalisation import Params

FILE_BYTES = 1 << 30
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
PICKLE_SUFFIXES = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"}
CONVERSION = (
    "a pickled file runs code of its own when it is opened; where you trust it, convert it with "
    "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'FILE.safetensors')"
)


def import_state_dict(file: Path, architecture: Architecture, *, name: str, command: str) -> bytes:
    """The checkpoint file made of a state_dict and its architecture.

    Raises CannotImport where the file is not one, or its tensors are not the network's.
    """
    data = _read(file)
    theta = fit_tensors(_tensors(data), architecture)
    digest = hashlib.sha256(data).hexdigest()
    provenance: dict[str, Any] = {
        **architecture.provenance,
        "command": command,
        "files": {file.name: f"sha256:{digest}"},
        "renamed": architecture.rename,
    }
    return make_checkpoint(name, architecture, theta, provenance)


def fit_tensors(tensors: Params, architecture: Architecture) -> Params:
    """The tensors under θ's names, all there, none besides, of the right shapes, finite float32.

    Raises CannotImport with the names that are missing or too many, or the first wrong tensor.
    """
    renamed = _renamed(tensors, architecture.rename)
    expected = theta_like(architecture)
    missing, extra = sorted({*expected} - {*renamed}), sorted({*renamed} - {*expected})
    if missing or extra:
        raise CannotImport(
            f"expected the network's tensors; missing {_few(missing)}, unknown {_few(extra)}"
        )
    for name, like in expected.items():
        _check(name, like, renamed[name])
    return renamed


def refuse_pickle(file: Path) -> None:
    """Raises CannotImport, with how to convert it, where the file is a pickle or is called one."""
    with file.open("rb") as opened:
        start = opened.read(4)
    if file.suffix in PICKLE_SUFFIXES or start.startswith(PICKLES):
        raise CannotImport(f"{file.name}: {CONVERSION}")


def _read(file: Path) -> bytes:
    refuse_pickle(file)
    with file.open("rb") as opened:
        data = opened.read(FILE_BYTES + 1)
    if len(data) > FILE_BYTES:
        raise CannotImport(f"{file.name}: expected at most {FILE_BYTES} bytes, got more")
    return data


def _tensors(data: bytes) -> Params:
    try:
        tensors = load_tensors(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    except (SafetensorError, ValueError, KeyError) as error:
        raise CannotImport(f"expected a .safetensors file: {error}") from error
    if "fewstep" in metadata:
        raise CannotImport("expected a state_dict, got a checkpoint, which needs no import")
    return tensors


def _renamed(tensors: Params, rename: dict[str, str]) -> Params:
    absent = sorted(set(rename) - set(tensors))
    if absent:
        raise CannotImport(f"rename: the file has no {_few(absent)}; it has {_few(tensors)}")
    renamed = {rename.get(name, name): tensor for name, tensor in tensors.items()}
    if len(renamed) < len(tensors):
        raise CannotImport("rename: expected every tensor under a name of its own")
    return renamed


def _check(name: str, like: Tensor, tensor: Tensor) -> None:
    if tensor.shape != like.shape or tensor.dtype != torch.float32:
        raise CannotImport(
            f"{name}: expected float32 {tuple(like.shape)}, got "
            f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
        )
    if not bool(tensor.isfinite().all()):
        raise CannotImport(f"{name}: expected finite values")


def _few(names: Iterable[str], most: int = 20) -> str:
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return f"{listed[:most]}{more}"
