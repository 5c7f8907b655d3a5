"""What tensors alone do not say: the network they are for, its input, and how it is adapted.

A .toml file says it with a recipe's words: ``task``, ``input_shape``, ``max_way`` and the tables
``network``, ``head`` and ``inner_loop``; beside them ``preprocessing`` where pictures come in,
``strip_prefix`` and ``rename`` (their names to ours) and ``provenance`` (free words, kept in the
checkpoint).
"""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from torch import Tensor, nn

from models.files.checkpoint import Checkpoint, dump_checkpoint, load_checkpoint
from models.files.served_loop import ServedInnerLoop
from models.heads.layer import BIAS, WEIGHT, Head
from models.importing.faults import CannotImport
from models.kinds import KINDS
from models.learner import Adapts, Learner
from models.networks import build_network, shape_of_features
from models.normalisation import Params
from models.outer_loop import MetaParams
from models.pictures.inputs import AS_IS, RESAMPLING, preparation_settings

NEEDED = {"task", "input_shape", "network", "head", "inner_loop"}
KEYS = NEEDED | {"max_way", "preprocessing", "strip_prefix", "rename", "provenance"}
PREPROCESSING = {"kind", "mode", "size", "resample", "invert", "background"}
PREPARED = {"preparation", "stroke"}
CHANNELS = {"L": 1, "RGB": 3}
INPUT_VALUES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Everything of a checkpoint but its tensors, name and scores.

    strip_prefix: what a wrapper put before the names in the file; rename: what is left of them to
    names in θ; provenance: plain values.
    """

    task: str
    network: str
    network_config: dict[str, Any]
    head: Head
    input_shape: tuple[int, ...]
    inner_loop: ServedInnerLoop
    max_way: int = 1
    preprocessing: dict[str, Any] | None = None
    strip_prefix: str = ""
    rename: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def read_architecture(text: str) -> Architecture:
    """The architecture in the text of a .toml file.

    Raises CannotImport where a word is missing, unknown, or says what cannot be served.
    """
    try:
        table = tomllib.loads(text)
        _check_keys(table, NEEDED, KEYS, "the architecture")
        architecture = _architecture(table)
        _check(architecture)
    except CannotImport:
        raise
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise CannotImport(f"the architecture cannot be read: {error}") from error
    return architecture


def theta_like(architecture: Architecture) -> Params:
    """Tensors without memory, with the names, shapes and dtypes that θ has.

    Raises CannotImport for a network that cannot be built, or does not take the input.
    """
    with torch.device("meta"):
        network = _network(architecture)
        try:
            features, _ = shape_of_features(network, architecture.input_shape)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            shape = architecture.input_shape
            raise CannotImport(f"the network does not take inputs {shape}: {reason}") from error
        head = architecture.head
        body: Params = dict(network.named_parameters())
        if head.kind == "prototype":
            return body
        return body | {
            WEIGHT: torch.empty(head.outputs, features),
            BIAS: torch.empty(head.outputs),
        }


def make_checkpoint(
    name: str, architecture: Architecture, theta: Mapping[str, Tensor], provenance: dict[str, Any]
) -> bytes:
    """The bytes of the checkpoint file with this θ, whose names and shapes are the network's.

    Raises models.files.checkpoint.InvalidCheckpoint where a reader of the file would.
    """
    learner = Learner(
        network=_network(architecture), head=architecture.head, task=architecture.task
    )
    data = dump_checkpoint(
        Checkpoint(
            name=name,
            learner=learner,
            meta=MetaParams(theta=dict(theta)),
            network=architecture.network,
            network_config=architecture.network_config,
            input_shape=architecture.input_shape,
            preprocessing=architecture.preprocessing,
            max_way=architecture.max_way,
            inner_loop=architecture.inner_loop,
            provenance=provenance,
        )
    )
    load_checkpoint(data)
    return data


def _architecture(table: dict[str, Any]) -> Architecture:
    network = dict(table["network"])
    provenance = json.loads(json.dumps(table.get("provenance", {}), default=str))  # dates
    return Architecture(
        task=table["task"],
        network=network.pop("name"),
        network_config=network,
        head=Head(**table["head"]),
        input_shape=tuple(table["input_shape"]),
        inner_loop=ServedInnerLoop(**table["inner_loop"]),
        max_way=table.get("max_way", 1),
        preprocessing=table.get("preprocessing"),
        strip_prefix=table.get("strip_prefix", ""),
        rename=dict(table.get("rename", {})),
        provenance=provenance,
    )


def _network(architecture: Architecture) -> nn.Module:
    try:
        return build_network(architecture.network, architecture.network_config)
    except (ValueError, RuntimeError) as error:
        raise CannotImport(f"the network cannot be built: {error}") from error


def _check(architecture: Architecture) -> None:
    _check_input(architecture.input_shape, architecture.preprocessing)
    _check_outputs(architecture.task, architecture.head, architecture.max_way)
    _check_inner_loop(architecture.inner_loop)
    prefix, rename = architecture.strip_prefix, architecture.rename
    _expect(isinstance(prefix, str), "strip_prefix", "a name's beginning", prefix)
    _expect(all(isinstance(name, str) for name in rename.values()), "rename", "names", rename)


def _check_input(shape: tuple[Any, ...], preprocessing: dict[str, Any] | None) -> None:
    sizes = bool(shape) and all(type(size) is int and size >= 1 for size in shape)
    small = sizes and math.prod(shape) <= INPUT_VALUES
    _expect(small, "input_shape", f"positive numbers, {INPUT_VALUES} values at most", shape)
    if preprocessing is None:
        return
    _check_keys(preprocessing, PREPROCESSING, PREPROCESSING | PREPARED, "preprocessing")
    kind, mode, size, resample, invert, background = (
        preprocessing[key] for key in ("kind", "mode", "size", "resample", "invert", "background")
    )
    _expect(kind == "picture", "preprocessing.kind", "'picture'", kind)
    _expect(mode in CHANNELS, "preprocessing.mode", f"one of {sorted(CHANNELS)}", mode)
    _expect(
        list(shape) == [CHANNELS[mode], *size],
        "input_shape",
        f"{[CHANNELS[mode], *size]}, as preprocessing makes it",
        list(shape),
    )
    _expect(resample in RESAMPLING, "preprocessing.resample", f"of {[*RESAMPLING]}", resample)
    _expect(isinstance(invert, bool), "preprocessing.invert", "true or false", invert)
    grey = type(background) is int and 0 <= background <= 255
    _expect(grey, "preprocessing.background", "a grey level from 0 to 255", background)
    _check_preparation(**{key: preprocessing[key] for key in PREPARED if key in preprocessing})


def _check_preparation(preparation: object = AS_IS, stroke: object = None) -> None:
    try:
        preparation_settings(preparation, stroke)
    except ValueError as error:
        raise CannotImport(f"preprocessing.{error}") from error


def _check_outputs(task: str, head: Head, max_way: int) -> None:
    _expect(task in tuple(KINDS), "task", f"one of {tuple(KINDS)}", task)
    kind = KINDS[task]
    _expect(head.kind in ("linear", "prototype"), "head.kind", "linear or prototype", head.kind)
    _expect(
        head.kind in kind.heads,
        "head.kind",
        f"{' or '.join(sorted(kind.heads))} for a {task}",
        head.kind,
    )
    if head.kind == "linear":
        rows = type(head.outputs) is int and head.outputs >= 1
        _expect(rows, "head.outputs", "a positive number", head.outputs)
    expected = kind.expected_way(head, max_way)
    _expect(expected is None, "max_way", str(expected), max_way)


def _check_inner_loop(loop: ServedInnerLoop) -> None:
    counted = type(loop.steps) is int and loop.steps >= 0
    _expect(counted, "inner_loop.steps", "0 or more", loop.steps)
    sized = math.isfinite(loop.step_size) and loop.step_size > 0
    _expect(sized, "inner_loop.step_size", "a positive number", loop.step_size)
    _expect(loop.adapts in get_args(Adapts), "inner_loop.adapts", "of a recipe's", loop.adapts)
    plain = ServedInnerLoop(steps=loop.steps, step_size=loop.step_size, adapts=loop.adapts)
    _expect(
        loop == plain,
        "inner_loop",
        "support normalisation, neither learned step sizes nor a prior, which no file brings along",
        loop,
    )


def _check_keys(table: Mapping[str, Any], needed: set[str], known: set[str], where: str) -> None:
    missing, unknown = sorted(needed - set(table)), sorted(set(table) - known)
    if missing or unknown:
        raise CannotImport(f"{where}: missing {missing}, unknown {unknown}")


def _expect(holds: bool, where: str, expected: str, got: object) -> None:
    if not holds:
        raise CannotImport(f"{where}: expected {expected}, got {got!r}")
