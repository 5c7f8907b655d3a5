"""A stranger's checkpoint, looked at before anything believes it: by its header, against the
network that it names, and by one pass of that network.

    python -m models.files.inspecting FILE

writes what was found to stdout, as JSON: {"checkpoint": its metadata, "parameters": how many}, or
{"refused": the kind of fault, "detail", "places": [[tensor, detail], …]}. A process of its own for
each file has its time and memory to itself, and can be ended.
"""

import json
import os
import resource
import sys
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from models.files.checkpoint import (
    Checkpoint,
    describe_checkpoint,
    load_checkpoint,
    read_metadata,
    tensors_of,
)
from models.files.faults import InvalidCheckpoint, NonFinite, TensorMismatch
from models.files.header import Header, read_header
from models.heads.layer import linear_scores
from models.learner import body_of
from models.networks import build_network
from models.normalisation import forward

CPU_S: Final = 60
MOST_DIMENSIONS: Final = 8
DTYPES: Final = {"torch.float32": "F32", "torch.int64": "I64"}


def inspect_checkpoint(data: bytes) -> Checkpoint:
    """The checkpoint in these bytes. Raises InvalidCheckpoint, TensorMismatch or NonFinite."""
    header = read_header(data, len(data))
    metadata = read_metadata(data)
    _check_size(header, metadata)
    _check_tensors(header, metadata)
    checkpoint = load_checkpoint(data)
    _check_pass(checkpoint)
    return checkpoint


def _check_size(header: Header, metadata: dict[str, Any]) -> None:
    """The network's parameters are counted before any of them is made."""
    network = dict(metadata["network"])
    try:
        with torch.device("meta"):
            built: nn.Module = build_network(network.pop("name"), network)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, OverflowError) as error:
        raise InvalidCheckpoint(f"network: {str(error).splitlines()[0][:200]}") from error
    needed = sum(parameter.numel() for parameter in built.parameters())
    held = sum(prod(shape) for _, shape in header.tensors.values())
    if needed > max(held, 1):
        raise InvalidCheckpoint(
            f"expected a network of at most the {held} numbers in the file, got one of {needed}"
        )


def _check_tensors(header: Header, metadata: dict[str, Any]) -> None:
    expected = {
        name: (DTYPES.get(str(like.dtype), str(like.dtype)), tuple(like.shape))
        for name, like in tensors_of(metadata).items()
    }
    found = {n: t for n, t in header.tensors.items() if not n.startswith("step_size.")}
    places = [
        (name, f"expected {_in_words(expected.get(name))}, got {_in_words(found.get(name))}")
        for name in sorted({*expected, *found})
        if expected.get(name) != found.get(name)
    ]
    deep = [name for name, (_, shape) in header.tensors.items() if len(shape) > MOST_DIMENSIONS]
    places += [(name, "expected fewer dimensions") for name in deep if name not in found]
    if places:
        raise TensorMismatch(places)


def _in_words(tensor: tuple[str, tuple[int, ...]] | None) -> str:
    if tensor is None:
        return "none"
    dtype, shape = tensor
    sizes = ", ".join(map(str, shape[:MOST_DIMENSIONS]))
    return f"{dtype} [{sizes}{', …' if len(shape) > MOST_DIMENSIONS else ''}]"


def _check_pass(checkpoint: Checkpoint) -> None:
    """Ones and a slope through the network come out finite, in front of the head and behind it."""
    theta, shape = checkpoint.meta.theta, checkpoint.input_shape
    slope = torch.linspace(0, 1, prod(shape)).reshape(shape)
    with torch.no_grad():
        x = torch.stack([torch.ones(shape), slope])
        features, _ = forward(checkpoint.learner.network, body_of(theta), x)
        scores = linear_scores(theta, features) if checkpoint.learner.head.kind == "linear" else x
    if not bool(features.isfinite().all()) or not bool(scores.isfinite().all()):
        raise InvalidCheckpoint("expected finite outputs for an input of ones, got others")


def _report(path: Path) -> dict[str, Any]:
    try:
        checkpoint = inspect_checkpoint(path.read_bytes())
    except InvalidCheckpoint as fault:
        places = fault.places[:20] if isinstance(fault, TensorMismatch) else ()
        kind = {TensorMismatch: "tensor-mismatch", NonFinite: "non-finite-weights"}
        refused = kind.get(type(fault), "invalid-checkpoint")
        return {"refused": refused, "detail": str(fault), "places": places}
    parameters = sum(tensor.numel() for tensor in checkpoint.meta.theta.values())
    return {"checkpoint": describe_checkpoint(checkpoint), "parameters": parameters}


def main() -> None:
    """Inspects the file that is named, within its own limits."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    with suppress(OSError):  # where memory runs short this process is the one to end
        Path("/proc/self/oom_score_adj").write_text("1000")
    torch.set_num_threads(1)
    os.nice(5)
    sys.stdout.write(json.dumps(_report(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
