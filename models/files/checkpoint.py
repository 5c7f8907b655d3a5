"""The checkpoint file: θ, what it belongs to and where it comes from, in one .safetensors file.

Tensors are named ``theta.<parameter>``, ``step_size.<parameter>`` and, where small support sets are
steadied, ``prior.<layer>.mean`` and ``.var``; the JSON under the metadata key ``fewstep`` says the
rest. A reader refuses what it does not know; version 1 had neither a prior nor ``adapts``,
version 2 no heads in closed form, version 3 no ``calibration``, version 4 no policies; a file says
the first version that has all that it holds.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from models.files.acting import Acting, read_acting
from models.files.calibration import read_calibration
from models.files.faults import InvalidCheckpoint, NonFinite
from models.files.matching import check_likes
from models.files.served_loop import HEAD_STEPS, ServedInnerLoop
from models.heads.deviations import LOG_STD
from models.heads.layer import BIAS, WEIGHT, Head, initial_head
from models.kinds import Kind, find_kind
from models.learner import CLOSED_FORMS, Adapts, InnerLoop, Learner
from models.networks import build_network, shape_of_features
from models.normalisation import Params, Prior, Statistics
from models.outer_loop import MetaParams

__all__ = ["InvalidCheckpoint"]

FORMAT, FORMAT_VERSION = "fewstep-checkpoint", 5
KEYS = {
    "format",
    "format_version",
    "name",
    "task",
    "network",
    "head",
    "input",
    "max_way",
    "inner_loop",
    "provenance",
    "evaluation",
    "calibration",
    "policy",
}
PARTS = {
    "input": {"shape", "preprocessing"},
    "inner_loop": {part.name for part in fields(ServedInnerLoop)},
}
SINCE: dict[int, dict[str, Any]] = {
    2: {"granularity": "layer", "adapts": "all", "prior_examples": 0.0},
    3: {"head_steps": HEAD_STEPS},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A meta-trained θ with all that adapting and serving need.

    network_config, preprocessing (how a picture or a table's row becomes an input, None for
    numbers), provenance and evaluation (the measured scores) are plain JSON values; acting: of a
    policy; digest: SHA-256 of the file, hex.
    """

    name: str
    learner: Learner
    meta: MetaParams
    network: str
    network_config: dict[str, Any]
    input_shape: tuple[int, ...]
    preprocessing: dict[str, Any] | None
    max_way: int
    inner_loop: ServedInnerLoop
    provenance: dict[str, Any]
    evaluation: list[dict[str, Any]] = field(default_factory=list)
    acting: Acting | None = None
    digest: str = ""

    @property
    def recipe(self) -> InnerLoop:
        """The default inner loop."""
        return self.recipe_of(self.inner_loop.adapts)

    def recipe_of(self, adapts: Adapts) -> InnerLoop:
        """The inner loop that adapts so: first-order, as no gradient passes through it when
        serving, and guarded, so that no step harms.
        """
        loop = self.inner_loop
        if adapts in CLOSED_FORMS:
            return InnerLoop(steps=1, adapts=adapts, guarded=True)
        if adapts == "head" and loop.adapts != "head":
            return InnerLoop(steps=loop.head_steps, adapts=adapts, guarded=True)
        return InnerLoop(
            steps=loop.steps,
            step_size=loop.step_size,
            step_sizes=self.meta.step_sizes if adapts != "head" else {},
            first_order=True,
            adapts=adapts,
            guarded=True,
        )


def describe_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """The JSON metadata of the file."""
    head, calibration = checkpoint.learner.head, checkpoint.learner.calibration
    more: dict[str, Any] = {}
    if calibration and calibration.buckets:
        more = {"calibration": asdict(calibration)}
    if checkpoint.acting:
        more = {"policy": asdict(checkpoint.acting)}
    return more | {
        "format": FORMAT,
        "format_version": FORMAT_VERSION if checkpoint.acting else 4 if more else 3,
        "name": checkpoint.name,
        "task": checkpoint.learner.task,
        "network": {"name": checkpoint.network, **checkpoint.network_config},
        "head": {"kind": head.kind, "outputs": head.outputs, "scale": head.scale},
        "input": {
            "shape": list(checkpoint.input_shape),
            "preprocessing": checkpoint.preprocessing,
        },
        "max_way": checkpoint.max_way,
        "inner_loop": asdict(checkpoint.inner_loop),
        "provenance": checkpoint.provenance,
        "evaluation": checkpoint.evaluation,
    }


def dump_checkpoint(checkpoint: Checkpoint) -> bytes:
    """The file's bytes; the same checkpoint gives the same bytes."""
    tensors = {f"theta.{n}": t.detach().cpu() for n, t in checkpoint.meta.theta.items()}
    sizes = {f"step_size.{n}": t.detach().cpu() for n, t in checkpoint.meta.step_sizes.items()}
    text = json.dumps(describe_checkpoint(checkpoint), sort_keys=True, ensure_ascii=False)
    prior = checkpoint.learner.prior
    kept = prior.statistics if prior else {}
    priors = {f"prior.{name}": tensor.detach().cpu() for name, tensor in kept.items()}
    whole = tensors | sizes | priors
    contiguous = {name: tensor.contiguous() for name, tensor in whole.items()}
    return save_tensors(contiguous, metadata={"fewstep": text})


def read_metadata(data: bytes) -> dict[str, Any]:
    """The JSON metadata of a checkpoint's bytes, as the newest version would have it.

    Raises InvalidCheckpoint where it is missing, unknown or of another format version.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        kept = json.loads(data[8 : 8 + length])["__metadata__"]
        if "state" in kept:
            raise InvalidCheckpoint(
                "expected a checkpoint, got the state of its training: end that, and take NAME."
                "safetensors beside it"
            )
        metadata = json.loads(kept["fewstep"])
    except InvalidCheckpoint:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidCheckpoint("expected a .safetensors file with 'fewstep' metadata") from error
    if metadata.get("format") != FORMAT or metadata.get("format_version") not in range(
        1, FORMAT_VERSION + 1
    ):
        raise InvalidCheckpoint(f"expected {FORMAT} of version 1 to {FORMAT_VERSION}")
    if metadata["format_version"] != 4:
        metadata.setdefault("calibration", None)
    if metadata["format_version"] < 5:
        metadata.setdefault("policy", None)
    if set(metadata) != KEYS:
        raise InvalidCheckpoint(f"expected exactly the metadata {sorted(KEYS)}")
    for version, added in SINCE.items():
        if metadata["format_version"] < version:
            metadata["inner_loop"] = added | metadata["inner_loop"]
    return dict(metadata) | {"format_version": FORMAT_VERSION}


def load_checkpoint(data: bytes) -> Checkpoint:
    """The checkpoint in these bytes, on the CPU.

    Raises InvalidCheckpoint where the tensors' names, shapes, dtypes or values are not the
    network's.
    """
    metadata = read_metadata(data)
    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InvalidCheckpoint("the tensors cannot be read") from error
    loop, shape = _inner_loop(metadata), tuple(metadata["input"]["shape"])
    learner = _learner(metadata, loop, _under("prior.", tensors))
    meta = MetaParams(theta=_under("theta.", tensors), step_sizes=_under("step_size.", tensors))
    _check(learner, meta, shape, loop, _acting(metadata), len(tensors))
    config = {key: value for key, value in metadata["network"].items() if key != "name"}
    return Checkpoint(
        name=metadata["name"],
        learner=learner,
        meta=meta,
        network=metadata["network"]["name"],
        network_config=config,
        input_shape=shape,
        preprocessing=metadata["input"]["preprocessing"],
        max_way=metadata["max_way"],
        inner_loop=loop,
        provenance=metadata["provenance"],
        evaluation=metadata["evaluation"],
        acting=_acting(metadata),
        digest=hashlib.sha256(data).hexdigest(),
    )


def tensors_of(metadata: dict[str, Any]) -> Params:
    """Tensors like those that a file with this metadata holds but for learned step sizes, by name.

    Raises InvalidCheckpoint.
    """
    loop = _inner_loop(metadata)
    learner = _learner(metadata, loop, {})
    try:
        shape = tuple(metadata["input"]["shape"])
        return _expected(learner, shape, loop, _acting(metadata))
    except (ValueError, TypeError, RuntimeError) as error:
        raise InvalidCheckpoint("input: the network takes no input of this shape") from error


def _acting(metadata: dict[str, Any]) -> Acting | None:
    """What a policy brings along, and nothing else does."""
    is_policy = metadata["task"] == "policy"
    if not is_policy and metadata["policy"] is None:
        return None
    try:
        if not is_policy:
            raise ValueError("policy: expected none of another task than policy")
        return read_acting(metadata["policy"], metadata["head"]["outputs"])
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidCheckpoint(str(error)) from error


def _inner_loop(metadata: dict[str, Any]) -> ServedInnerLoop:
    for part, keys in PARTS.items():
        if set(metadata[part]) != keys:
            raise InvalidCheckpoint(f"{part}: expected exactly {sorted(keys)}")
    return ServedInnerLoop(**metadata["inner_loop"])


def _learner(metadata: dict[str, Any], loop: ServedInnerLoop, statistics: Statistics) -> Learner:
    network = dict(metadata["network"])
    try:
        built = build_network(network.pop("name"), network)
        head, kind = Head(**metadata["head"]), find_kind(metadata["task"])
        _check_ways(kind, head, loop)
        calibration = read_calibration(metadata["calibration"])
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidCheckpoint(str(error)) from error
    examples = loop.prior_examples
    return Learner(
        network=built.requires_grad_(False),
        head=head,
        task=metadata["task"],
        normalisation=loop.normalisation,
        prior=Prior(statistics=statistics, examples=examples) if examples else None,
        calibration=calibration if kind.knows_its_inputs else None,
    )


def _check_ways(kind: Kind, head: Head, loop: ServedInnerLoop) -> None:
    """Raises ValueError where the kind of task has no such head, or is not adapted so."""
    if head.kind not in kind.heads:
        raise ValueError(f"a {head.kind} head is none for {kind.name}")
    if loop.adapts not in kind.ways(head):
        ways = ", ".join(kind.ways(head))
        raise ValueError(f"adapts: expected one of {ways} for {kind.name}, got {loop.adapts!r}")


def _under(prefix: str, tensors: Params) -> Params:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _check(
    learner: Learner,
    meta: MetaParams,
    shape: tuple[int, ...],
    loop: ServedInnerLoop,
    acting: Acting | None,
    found: int,
) -> None:
    expected = _expected(learner, shape, loop, acting)
    got = {f"theta.{name}": tensor for name, tensor in meta.theta.items()}
    if learner.prior:
        got |= {f"prior.{name}": tensor for name, tensor in learner.prior.statistics.items()}
    check_likes(expected, got)
    theta = {name.removeprefix("theta.") for name in expected if name.startswith("theta.")}
    _check_sizes(meta, {*theta, WEIGHT, BIAS}, loop)
    if found != len(expected) + len(meta.step_sizes):
        raise InvalidCheckpoint("there are tensors that the network does not have")
    if not all(bool(t.isfinite().all()) for t in (*got.values(), *meta.step_sizes.values())):
        raise NonFinite("expected finite weights")
    if any(bool((t < 0).any()) for name, t in got.items() if name.endswith(".var")):
        raise InvalidCheckpoint("expected variances of at least 0")


def _expected(
    learner: Learner, shape: tuple[int, ...], loop: ServedInnerLoop, acting: Acting | None
) -> Params:
    """Tensors like those that a file of this network holds, by name."""
    features, statistics = shape_of_features(learner.network, shape)
    theta: Params = dict(learner.network.named_parameters())
    theta |= initial_head(learner.head, features, torch.Generator())
    if acting is not None and acting.actions == "continuous":
        theta[LOG_STD] = torch.zeros(learner.head.outputs)
    expected = {f"theta.{name}": tensor for name, tensor in theta.items()}
    if loop.prior_examples:
        expected |= {f"prior.{name}": tensor for name, tensor in statistics.items()}
    return expected


def _check_sizes(meta: MetaParams, names: set[str], loop: ServedInnerLoop) -> None:
    if set(meta.step_sizes) != (names if loop.learned else set()):
        raise InvalidCheckpoint("expected learned step sizes of all of φ, or of nothing")
    for name, sizes in meta.step_sizes.items():
        element = loop.granularity == "element" and name in meta.theta
        shape = meta.theta[name].shape if element else torch.Size()
        if sizes.dim() == 0 or not len(sizes) or sizes.shape[1:] != shape:
            raise InvalidCheckpoint(f"{name}: expected step sizes (steps, {tuple(shape)})")
