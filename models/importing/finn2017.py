"""The MiniImagenet network of Finn et al. 2017, out of a checkpoint of github.com/cbfinn/maml.

Their TensorFlow keeps pictures channels last and kernels as (H, W, in, out), and flattens feature
maps in the order H, W, C; ours is channels first. Their inner loss is summed over the five classes,
ours is a mean: step size 0.01 there is 0.05 here. The biases before the normalisation change
nothing and are kept, so that every tensor of the file is accounted for.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.files.served_loop import ServedInnerLoop
from models.heads.layer import BIAS, WEIGHT, Head
from models.importing.architecture import Architecture, make_checkpoint
from models.importing.bundle import Bundle, Tensors, load_bundle
from models.importing.faults import CannotImport
from models.normalisation import Params

WAY, FILTERS, SIDE = 5, 32, 84
LEFT = 5  # 84 -> 42 -> 21 -> 10 -> 5: what four poolings leave of a side
LAYOUT: Mapping[str, tuple[int, ...]] = {
    **{f"model/{block}/beta": (FILTERS,) for block in range(4)},
    **{f"model/Variable{suffix}": (FILTERS,) for suffix in ("", "_1", "_2", "_3")},
    "model/conv1": (3, 3, 3, FILTERS),
    **{f"model/conv{block}": (3, 3, FILTERS, FILTERS) for block in (2, 3, 4)},
    "model/w5": (LEFT * LEFT * FILTERS, WAY),
    "model/b5": (WAY,),
}
ARCHITECTURE = Architecture(
    task="classification",
    network="conv4",
    network_config={
        "channels": 3,
        "filters": FILTERS,
        "pooled": True,
        "flatten": True,
        "bias": True,
    },
    head=Head(kind="linear", outputs=WAY),
    input_shape=(3, SIDE, SIDE),
    inner_loop=ServedInnerLoop(steps=10, step_size=0.05, adapts="weights"),
    max_way=WAY,
    preprocessing={
        "kind": "picture",
        "mode": "RGB",
        "size": [SIDE, SIDE],
        "resample": "lanczos",
        "invert": False,
        "background": 255,
    },
)
# What the authors published, by the digest of the data file.
PUBLISHED = "f7e14e6f544371a562441d378f4bc5765431008400cc07a16ad5ed488ea9dea0"
SOURCE: Mapping[str, Any] = {
    "repository": "https://github.com/cbfinn/maml",
    "checkpoint": "model59000",
    "licence": "MIT",
    "paper": "C. Finn, P. Abbeel, S. Levine: Model-Agnostic Meta-Learning for Fast Adaptation of "
    "Deep Networks, 2017, arXiv 1703.03400",
    "meta_training": "5-way 1-shot with 15 queries, 4 episodes in a meta-batch, 5 inner steps, "
    "second order, Adam 1e-3, 59,000 outer steps, queries normalised together",
}


def import_finn2017(prefix: Path, *, name: str, command: str) -> bytes:
    """The checkpoint file made of the authors' bundle of this prefix.

    Raises CannotImport where the files are damaged, or hold another network.
    """
    bundle = load_bundle(prefix)
    provenance = _provenance(bundle, command)
    return make_checkpoint(name, ARCHITECTURE, theta_from(bundle.tensors), provenance)


def theta_from(tensors: Tensors) -> Params:
    """θ of ``conv4`` and its linear head, from their tensors by their names.

    Raises CannotImport where the names or shapes are not those of their MiniImagenet network.
    """
    _check_layout(tensors)
    theta: Params = {}
    for block, suffix in enumerate(("", "_1", "_2", "_3")):
        kernel = tensors[f"model/conv{block + 1}"]
        theta[f"blocks.{block}.conv.weight"] = _tensor(kernel.transpose(3, 2, 0, 1))
        theta[f"blocks.{block}.conv.bias"] = _tensor(tensors[f"model/Variable{suffix}"])
        theta[f"blocks.{block}.norm.bias"] = _tensor(tensors[f"model/{block}/beta"])
    positions = tensors["model/w5"].reshape(LEFT, LEFT, FILTERS, WAY)
    theta[WEIGHT] = _tensor(positions.transpose(3, 2, 0, 1).reshape(WAY, -1))
    theta[BIAS] = _tensor(tensors["model/b5"])
    return theta


def _check_layout(tensors: Tensors) -> None:
    missing, extra = sorted({*LAYOUT} - {*tensors}), sorted({*tensors} - {*LAYOUT})
    if missing or extra:
        raise CannotImport(
            f"expected the MiniImagenet network of cbfinn/maml; missing {missing}, "
            f"unknown {extra[:20]}"
        )
    for name, shape in LAYOUT.items():
        if tensors[name].shape != shape:
            raise CannotImport(f"{name}: expected {shape}, got {tensors[name].shape}")


def _tensor(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _provenance(bundle: Bundle, command: str) -> dict[str, Any]:
    """``recipe`` says what to evaluate on; the 20 test classes are not in the bundle."""
    return {
        "command": command,
        "files": {name: f"sha256:{digest}" for name, digest in bundle.digests.items()},
        "source": dict(SOURCE) if PUBLISHED in bundle.digests.values() else None,
        "recipe": {
            "distribution": {"name": "miniimagenet"},
            "validation": {"way": WAY, "shot": 1, "query": 1},
        },
        "data": {"name": "miniimagenet", "digest": None, "test_classes": None},
        "evaluation": "not measured: MiniImagenet's pictures aren't at hand",
    }
