"""The adapted model as a file: φ and everything that a prediction needs, in one .safetensors file.

Tensors: φ's parameters by name, and ``statistics.<layer>.mean`` / ``.var`` of the support set. The
JSON under the metadata key ``fewstep`` names the network, the input, the classes and the recipe.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as save_arrays  # the same bytes in a quarter of torch's time

from models.inner_loop import Adapted

FORMAT, FORMAT_VERSION = "fewstep-adapted", 1
STATISTICS = "statistics."


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatFile:
    """The file's tensors one after the other: flat (values,) float32, and their shapes in order."""

    flat: NDArray[np.float32]
    shapes: dict[str, tuple[int, ...]]
    description: dict[str, Any]


def dump_adapted(adapted: Adapted, description: dict[str, Any]) -> bytes:
    """The bytes of one adapted model; the same input gives the same bytes."""
    statistics = {f"{STATISTICS}{name}": t for name, t in adapted.statistics.items()}
    arrays = {
        n: t.detach().cpu().contiguous().numpy() for n, t in (adapted.params | statistics).items()
    }
    head = {"format": FORMAT, "format_version": FORMAT_VERSION}
    text = json.dumps(head | description, sort_keys=True, ensure_ascii=False)
    return save_arrays(arrays, metadata={"fewstep": text})


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
