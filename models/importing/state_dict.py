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
from models.importing.hints import prefix_in_words, tensors_in_words
from models.importing.pickles import refuse_pickle
from models.normalisation import Params

FILE_BYTES = 1 << 30
ROUNDED = (torch.float16, torch.bfloat16, torch.float32)  # what float32 holds as it is


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
        "stripped": architecture.strip_prefix,
    }
    return make_checkpoint(name, architecture, theta, provenance)


def fit_tensors(tensors: Params, architecture: Architecture) -> Params:
    """The tensors under θ's names, all there, none besides, of the right shapes, finite, as
    float32 that has their very values.

    Raises CannotImport with the names that are missing or too many, or the first wrong tensor.
    """
    expected = theta_like(architecture)
    bare = _bare(tensors, architecture.strip_prefix)
    _refuse_prefix(tensors, architecture, expected)
    renamed = _renamed(bare, architecture.rename)
    missing, extra = sorted({*expected} - {*renamed}), sorted({*renamed} - {*expected})
    if missing or extra:
        known = tensors_in_words({name: renamed[name] for name in extra})
        raise CannotImport(
            f"expected the network's tensors; missing {_few(missing)}, unknown {_few(extra)}{known}"
        )
    return {name: _fitting(name, like, renamed[name]) for name, like in expected.items()}


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


def _bare(tensors: Params, prefix: str) -> Params:
    """The tensors without the prefix before their names, where they have it."""
    bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    if len(bare) < len(tensors):
        raise CannotImport("strip_prefix: expected every tensor under a name of its own")
    if prefix and {*bare} == {*tensors}:
        raise CannotImport(f"strip_prefix: no name has it; the file has {_few(tensors)}")
    return bare


def _refuse_prefix(tensors: Params, architecture: Architecture, expected: Params) -> None:
    rename, given = architecture.rename, architecture.strip_prefix
    said = prefix_in_words(tensors, lambda name: rename.get(name, name) in expected, given)
    if said:
        raise CannotImport(f"expected the network's names, or those to rename, got others: {said}")


def _renamed(tensors: Params, rename: dict[str, str]) -> Params:
    absent = sorted(set(rename) - set(tensors))
    if absent:
        raise CannotImport(f"rename: the file has no {_few(absent)}; it has {_few(tensors)}")
    renamed = {rename.get(name, name): tensor for name, tensor in tensors.items()}
    if len(renamed) < len(tensors):
        raise CannotImport("rename: expected every tensor under a name of its own")
    return renamed


def _fitting(name: str, like: Tensor, tensor: Tensor) -> Tensor:
    """The tensor as float32."""
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.shape != like.shape:
        raise CannotImport(
            f"{name}: expected float32 {tuple(like.shape)}, got {kind} {tuple(tensor.shape)}"
        )
    if tensor.dtype not in (*ROUNDED, torch.float64):
        raise CannotImport(
            f"{name}: expected float32, got {kind}; where it is quantised, dequantise it, then "
            "save it by .float()"
        )
    if not bool(tensor.isfinite().all()):
        raise CannotImport(f"{name}: expected finite values")
    floats = tensor.float()
    others = int((floats.to(tensor.dtype) != tensor).sum())
    if others:
        raise CannotImport(
            f"{name}: expected values that float32 has, got {kind} with {others} others of "
            f"{tensor.numel()}; save it by .float(), which rounds them"
        )
    return floats


def _few(names: Iterable[str], most: int = 20) -> str:
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return f"{listed[:most]}{more}"
