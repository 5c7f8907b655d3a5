"""Adapted models, ready to predict: φ and its support statistics in one buffer each.

Models of one network share its modules: a forward borrows a set of them, hangs the views of a
buffer in, and gives it back without them. So modules that nobody uses hold no φ, a kept model costs
its numbers and some hundred bytes, and threads may predict at once.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.engine.layers import forward_stacked, is_stackable
from models.files.about import About, read_about
from models.files.adapted_file import HEAD, STATISTICS, load_flat
from models.files.checkpoint import Checkpoint
from models.heads.applying import apply_head
from models.heads.bayesian import posterior
from models.heads.layer import BIAS, WEIGHT
from models.learner import body_of
from models.networks import build_network, shape_of_features
from models.normalisation import Params, forward, normalises

OF_THE_OBJECTS = 1024  # measured: what a kept model takes beside its numbers, its class names apart
OF_A_NAME = 96

# One core, different models: 10 mlp 40-40 stacked take 0.12 ms, one after the other 1.2 ms; 4 conv4
# of 64 filters 1.8 and 7.8 ms. More of those in one call fall out of the cache: 16 take 18 ms.
STACKED_VALUES = 2**19
# A network that only vmap can stack costs 0.4 ms a call (mlp), and its convolutions gain nothing.
OTHERS_FROM, OTHERS_PHI_VALUES = 4, 2**14

Slots = list[tuple[dict[str, Any], str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Modules:
    """One set of a network's modules; slots: where each parameter hangs, and its name."""

    network: nn.Module
    slots: Slots

    def let_go(self) -> "Modules":
        """The same, with nothing in the slots: a view would keep its whole buffer in memory."""
        for place, key, _ in self.slots:
            place[key] = None
        return self


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True, eq=False)
class Architecture:
    """What models of one network and one layout share.

    shapes and lengths: of every tensor, in the buffer's order; statistics: the names of those that
    normalise, and of the layer's that each belongs to;
    is_stackable: whether the network knows its forward over stacked models; body: the parameters
    that all of them share, none where each has its own; free: sets of modules that nobody uses now,
    and that hold no parameters.
    """

    about: About
    shapes: dict[str, tuple[int, ...]]
    lengths: list[int]
    statistics: dict[str, str]
    is_stackable: bool
    body: "Body"
    free: list[Modules] = field(default_factory=list)

    def named(self, flat: Tensor) -> Params:
        """Views of a buffer (values,) by name; with a leading axis of (K, values) where it has
        one.
        """
        parts = flat.split_with_sizes(self.lengths, dim=-1)
        lead = flat.shape[:-1]
        return {
            name: part if len(shape) == 1 else part.view(lead + shape)  # a view takes a microsecond
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def outputs(self, modules: Modules, named: Params, x: Tensor) -> Tensor:
        """(Q, …) inputs -> (Q, outputs), in the borrowed modules."""
        body = self.body or named
        for place, key, name in modules.slots:
            place[key] = body[name]
        statistics = {layer: named[name] for name, layer in self.statistics.items()}
        features, _ = forward(modules.network, None, x, statistics)
        return apply_head(named, features, x)

    def outputs_stacked(
        self, modules: Modules, models: "Sequence[ServedModel]", x: Tensor
    ) -> Tensor:
        """(K, 1, …) inputs of K models -> (K, outputs)."""
        named = self.named(torch.stack([model.flat for model in models]))
        statistics = {layer: named[name] for name, layer in self.statistics.items()}
        shared = {name: value.expand(len(x), *value.shape) for name, value in self.body.items()}
        body = {name: (shared or named)[name] for _, _, name in modules.slots}
        features, _ = forward_stacked(modules.network, body, x, statistics)
        return apply_head(named, features, x)[:, 0]

    @contextmanager
    def borrowed(self) -> Iterator[Modules]:
        """A set of modules that nobody else uses in the block, however that ends."""
        try:
            modules = self.free.pop()  # atomic, as the append is
        except IndexError:
            modules = _modules(self.about.network)
        try:
            yield modules
        finally:
            self.free.append(modules.let_go())


class Body(dict[str, Tensor]):
    """A checkpoint's body, as all models that left it alone share it."""


_known: WeakValueDictionary[str, Architecture] = WeakValueDictionary()
_bodies: WeakValueDictionary[str, Body] = WeakValueDictionary()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServedModel:
    """One adaptation's φ and statistics, (values,) float32, and its class names in order."""

    architecture: Architecture
    flat: Tensor
    classes: tuple[str, ...] | None

    @property
    def about(self) -> About:
        """What the file says of itself, but for the classes."""
        return self.architecture.about

    @property
    def values(self) -> int:
        """How many numbers a forward goes through, a shared body's among them."""
        return self.flat.numel() + sum(value.numel() for value in self.architecture.body.values())

    @property
    def bytes(self) -> int:
        """What keeping it takes: its numbers, and about what the objects around them do."""
        names = sum(OF_A_NAME + 4 * len(name) for name in self.classes or ())
        return OF_THE_OBJECTS + names + self.flat.nbytes

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(Q, …) inputs -> (Q, outputs) scores or values; each depends on its own input alone."""
        kind = self.architecture
        with torch.inference_mode(), kind.borrowed() as modules:
            outputs = kind.outputs(modules, kind.named(self.flat), torch.from_numpy(x))
        return np.asarray(outputs.numpy(), dtype=np.float32)


def predict_stacked(models: Sequence[ServedModel], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The outputs (K, outputs) of K models of one architecture, x (K, …) one input for each, in as
    few calls as their size allows.
    """
    kind = models[0].architecture
    at_once = max(1, STACKED_VALUES // models[0].flat.numel())
    inputs = torch.from_numpy(x)[:, None]
    with torch.inference_mode(), kind.borrowed() as modules:
        parts = [
            kind.outputs_stacked(modules, models[i : i + at_once], inputs[i : i + at_once])
            for i in range(0, len(models), at_once)
        ]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def is_worth_stacking(models: Sequence[ServedModel], different: int) -> bool:
    """Whether stacking is faster than one forward for each different model of them."""
    if len(models) > 2 * different:
        return False
    if models[0].architecture.is_stackable:
        return different > 1
    return different >= OTHERS_FROM and models[0].values <= OTHERS_PHI_VALUES


def load_served(data: bytes, theta_of: Callable[[str], Params] = lambda digest: {}) -> ServedModel:
    """The model in the bytes of an adapted file.

    theta_of: the θ in the checkpoint file of this digest; asked for where the model has that body,
    and no other model with it is there.
    """
    file = load_flat(data)
    about = read_about(file.description)
    return _served(file.flat, file.shapes, about, file.description["classes"], theta_of)


def serve_theta(checkpoint: Checkpoint) -> ServedModel | None:
    """The unadapted θ of a regression checkpoint; None where it normalises by a support set."""
    if normalises(checkpoint.learner.network):
        return None
    theta, head = checkpoint.meta.theta, checkpoint.learner.head
    if head.kind == "bayesian":  # what is known before any example
        nothing = torch.zeros(0, theta[WEIGHT].shape[1]), torch.zeros(0, head.outputs)
        theta = body_of(theta) | posterior(theta, *nothing)
    return _of_tensors(checkpoint, theta, head.outputs)


def stand_in(checkpoint: Checkpoint, *, outputs: int) -> ServedModel:
    """A model of the checkpoint's network that was never adapted, to try a forward with."""
    network = checkpoint.learner.network
    features, statistics = shape_of_features(network, checkpoint.input_shape)
    head = {WEIGHT: torch.zeros(outputs, features), BIAS: torch.zeros(outputs)}
    body = {name: checkpoint.meta.theta[name] for name, _ in network.named_parameters()}
    named = {f"{STATISTICS}{name}": tensor for name, tensor in statistics.items()}
    return _of_tensors(checkpoint, body | head | named, outputs)


def _of_tensors(checkpoint: Checkpoint, tensors: Params, outputs: int) -> ServedModel:
    learner = checkpoint.learner
    about = About(
        task=learner.task,
        network={"name": checkpoint.network, **checkpoint.network_config},
        head=learner.head.kind,
        normalisation=learner.normalisation,
        input_shape=checkpoint.input_shape,
        preprocessing=checkpoint.preprocessing,
        outputs=outputs,
        policy=asdict(checkpoint.acting) if checkpoint.acting else None,
    )
    flat = torch.cat([tensor.detach().cpu().flatten() for tensor in tensors.values()]).numpy()
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return _served(flat, shapes, about, None)


def _served(
    flat: NDArray[np.float32],
    shapes: dict[str, tuple[int, ...]],
    about: About,
    classes: list[str] | None,
    theta_of: Callable[[str], Params] = lambda digest: {},
) -> ServedModel:
    return ServedModel(
        architecture=_architecture(shapes, about, theta_of),
        flat=torch.from_numpy(flat),
        classes=None if classes is None else tuple(classes),
    )


def _architecture(
    shapes: dict[str, tuple[int, ...]], about: About, theta_of: Callable[[str], Params]
) -> Architecture:
    """The one that models like this one share already, or a new one.

    Raises ValueError where φ is not this network's.
    """
    key = json.dumps([asdict(about), list(shapes.items())], sort_keys=True)
    found = _known.get(key)
    if found is None:
        statistics = {name for name in shapes if name.startswith(STATISTICS)}
        modules = _modules(about.network)
        body = _body(about.body, modules, theta_of)
        _check_names(modules, shapes.keys() - statistics, body.keys())
        found = _known[key] = Architecture(
            about=about,
            shapes=shapes,
            lengths=[math.prod(shape) for shape in shapes.values()],
            statistics={name: name.removeprefix(STATISTICS) for name in statistics},
            is_stackable=is_stackable(modules.network),
            body=body,
            free=[modules],
        )
    return found


def _body(digest: str | None, modules: Modules, theta_of: Callable[[str], Params]) -> Body:
    """The body in the checkpoint of this digest, loaded once; empty where there is none."""
    if digest is None:
        return Body()
    found = _bodies.get(digest)
    if found is None:
        theta = theta_of(digest)
        found = Body({name: theta[name] for _, _, name in modules.slots if name in theta})
        _bodies[digest] = found
    return found


def _modules(about: dict[str, Any]) -> Modules:
    """A new set, without the parameters that it was made with."""
    config = {key: value for key, value in about.items() if key != "name"}
    network = build_network(about["name"], config).requires_grad_(False)
    placed = (
        (path, module, key)
        for path, module in network.named_modules()
        for key, value in module._parameters.items()
        if value is not None
    )
    slots = [
        (module._parameters, key, f"{path}.{key}" if path else key) for path, module, key in placed
    ]
    return Modules(network=network, slots=slots).let_go()


def _check_names(modules: Modules, params: Set[str], shared: Set[str]) -> None:
    """params: those of the file; shared: of its checkpoint's body."""
    heads = {name for name in params if name.startswith(HEAD)}
    expected = {name for _, _, name in modules.slots}
    if (params - heads) | shared != expected or not heads:
        strange = sorted(((params - heads) | shared) ^ expected)
        raise ValueError(f"expected the network's parameters, got other names: {strange}")
