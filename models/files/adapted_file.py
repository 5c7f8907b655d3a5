"""The adapted model as a file: φ and everything that a prediction needs, in one .safetensors file.

Tensors: φ's parameters by name, and ``statistics.<layer>.mean`` / ``.var`` of the support set. The
JSON under the metadata key ``fewstep`` names the network, the input, the classes and the recipe.
Where the head alone was adapted the body is a checkpoint's, and is kept once: ``body`` names it by
the digest of its file, ``with_body`` puts both together. Version 1 always had the body.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays  # the same bytes in a quarter of torch's time

from models.heads.kernel import COEFFICIENTS, without_idle_parts
from models.heads.novelty import without_double_points
from models.learner import Adapted
from models.normalisation import Params

FORMAT, FORMAT_VERSION = "fewstep-adapted", 2
STATISTICS, HEAD = "statistics.", "head."


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatFile:
    """The file's tensors one after the other: flat (values,) float32, and their shapes in order."""

    flat: NDArray[np.float32]
    shapes: dict[str, tuple[int, ...]]
    description: dict[str, Any]


def dump_adapted(
    adapted: Adapted, description: dict[str, Any], *, body: str | None = None
) -> bytes:
    """The bytes of one adapted model; the same input gives the same bytes.

    body: the digest of the checkpoint whose body it has unchanged, which is left out then.
    """
    params = adapted.params if body is None else _head_of(adapted.params)
    statistics = {f"{STATISTICS}{name}": t for name, t in adapted.statistics.items()}
    arrays = {n: t.detach().cpu().contiguous().numpy() for n, t in (params | statistics).items()}
    return _dumped(arrays, description | {"body": body})


def with_body(data: bytes, theta: Params) -> bytes:
    """The bytes of the same model with the body of its checkpoint."""
    arrays = load_arrays(data)
    description = _description(data)
    body = {n: t.detach().cpu().contiguous().numpy() for n, t in theta.items()}
    head = {name for name in body if name.startswith(HEAD)}
    whole = {name: body[name] for name in body if name not in head} | arrays
    return _dumped(whole, description | {"body": None})


def body_of(data: bytes) -> str | None:
    """The digest of the checkpoint whose body the model has; None where it has its own."""
    digest: str | None = _description(data).get("body")
    return digest


def params_of(data: bytes) -> Params:
    """φ of a file that has its own body, by name."""
    arrays = load_arrays(data)
    return {n: torch.from_numpy(a) for n, a in arrays.items() if not n.startswith(STATISTICS)}


def _head_of(params: Params) -> Params:
    head = {name: value for name, value in params.items() if name.startswith(HEAD)}
    return without_double_points(without_idle_parts(head) if COEFFICIENTS in head else head)


def _dumped(arrays: dict[str, NDArray[np.float32]], description: dict[str, Any]) -> bytes:
    head = {"format": FORMAT, "format_version": FORMAT_VERSION}
    text = json.dumps(description | head, sort_keys=True, ensure_ascii=False)
    return save_arrays(arrays, metadata={"fewstep": text})


def load_arrays_of(data: bytes) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    """The file's tensors by name, and what it says of itself."""
    return load_arrays(data), _description(data)


def _description(data: bytes) -> dict[str, Any]:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    description: dict[str, Any] = json.loads(header["__metadata__"]["fewstep"])
    return description


def load_flat(data: bytes) -> FlatFile:
    """What ``dump_adapted`` wrote, in one buffer: hundreds of thousands are kept, few looked at."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    description = json.loads(header.pop("__metadata__")["fewstep"])
    ordered = sorted(header.items(), key=lambda item: int(item[1]["data_offsets"][0]))
    if any(about["dtype"] != "F32" for _, about in ordered):
        raise ValueError("expected float32 tensors only")
    shapes = {name: tuple(about["shape"]) for name, about in ordered}
    flat = np.frombuffer(data, "<f4", sum(map(math.prod, shapes.values())), start).astype("f4")
    return FlatFile(flat=flat, shapes=shapes, description=description)
