"""Layers over stacked episodes: inputs lead with (E,), and every episode has parameters of its own.

A convolution becomes one batched matrix product, where ``vmap`` would make a grouped convolution
of it, in a third of the time on a CPU. Twice differentiable. A network that says how it is made of
these layers is run so; any other by ``vmap``.
"""

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, Protocol, TypeGuard

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn import functional as F

from models.engine.patches import convolve
from models.normalisation import Params, Prior, Statistics, forward, pooled

AT_ONCE = 5_000_000  # numbers in one call on a CPU: 20 MB
OF_OTHERS = 64  # numbers per number of the input, in a network of somebody else


class Known(NamedTuple):
    """What is known beside the batch: a prior's mean and variance (C,), and the share of the batch
    in the pooled sample.
    """

    mean: Tensor
    var: Tensor
    share: float


@dataclass(slots=True, kw_only=True)
class Layers:
    """The layers of one forward over stacked episodes, as operations of torch's graph.

    Everything leads with (E, B); parameters are looked up by their names and lead with (E,).
    given: statistics (E, C) of each normalisation; None: the batch's own, pooled with ``prior``.
    used: what normalised, by the same names.
    """

    params: Params
    given: Statistics | None = None
    prior: Prior | None = None
    used: Statistics = field(default_factory=dict)

    def channels_last(self, x: Tensor) -> Tensor:
        """(E, B, C, H, W) -> (E, B, H, W, C)."""
        return x.permute(0, 1, 3, 4, 2)

    def conv_norm_relu(self, x: Tensor, path: str, *, stride: int, eps: float) -> Tensor:
        """ReLU of the normalised 3 x 3 convolution, of ``path``'s conv and norm, channels last."""
        maps = convolve(x, self.params[f"{path}.conv.weight"], stride)
        shift = self.params.get(f"{path}.conv.bias")
        maps = maps if shift is None else maps + shift[:, None, None, None]
        return self.norm_relu(maps, f"{path}.norm", eps=eps)

    def norm_relu(self, x: Tensor, path: str, *, eps: float) -> Tensor:
        """ReLU of x (E, B, …, C) normalised per channel and shifted by ``path``'s bias."""
        rows, bias = x.flatten(1, -2), self.params[f"{path}.bias"]
        if self.given is not None:
            mean, var = self.given[f"{path}.mean"], self.given[f"{path}.var"]
            scale = torch.rsqrt(var + eps)[:, None]
            shift = bias[:, None] - mean[:, None] * scale
            z = torch.addcmul(shift, rows, scale).relu()
        else:
            z, mean, var = normalise(rows, bias, self._known(path, x), eps)
        return self._use(path, mean, var, z).view(x.shape)

    def linear(self, x: Tensor, path: str) -> Tensor:
        """(E, B, D) -> (E, B, F)."""
        weight, bias = self.params[f"{path}.weight"], self.params.get(f"{path}.bias")
        if bias is None:
            return torch.bmm(x, weight.mT)
        return torch.baddbmm(bias[:, None], x, weight.mT)

    def times(self, x: Tensor, path: str) -> Tensor:
        """(E, B, D) times one number of each episode."""
        return x * self.params[path][:, None, None]

    def relu(self, x: Tensor) -> Tensor:
        return x.relu()

    def halve(self, x: Tensor) -> Tensor:
        """(E, B, H, W, C) -> (E, B, H // 2, W // 2, C) by max-pooling."""
        return from_pictures(F.max_pool2d(to_pictures(x), 2), x)

    def mean(self, x: Tensor) -> Tensor:
        """(E, B, H, W, C) -> (E, B, C)."""
        return x.mean(dim=(2, 3))

    def flatten(self, x: Tensor) -> Tensor:
        """(E, B, H, W, C) -> (E, B, C H W), in the order of pictures that lie channels first."""
        return x.permute(0, 1, 4, 2, 3).flatten(2)

    def _known(self, path: str, x: Tensor) -> Known:
        if self.prior is None:
            nothing = x.new_empty(0)
            return Known(nothing, nothing, 1.0)
        kept, examples = self.prior.statistics, x.shape[1]
        share = examples / (examples + self.prior.examples)
        return Known(kept[f"{path}.mean"], kept[f"{path}.var"], share)

    def _use(self, path: str, mean: Tensor, var: Tensor, z: Tensor) -> Tensor:
        self.used[f"{path}.mean"], self.used[f"{path}.var"] = mean, var
        return z


def normalise(
    rows: Tensor, bias: Tensor, known: Known, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """ReLU of rows (E, R, C) normalised per channel and shifted by bias (E, C), and the mean and
    variance (E, C) that normalised them, pooled with what is known.
    """
    mean = rows.mean(1, keepdim=True)
    centred = rows - mean
    var = centred.square().mean(1, keepdim=True)
    pooled_mean, var = pooled(mean, var, *known) if known.share < 1 else (mean, var)
    scale = torch.rsqrt(var + eps)
    shift = torch.addcmul(bias[:, None], mean - pooled_mean, scale)
    return torch.addcmul(shift, centred, scale).relu(), pooled_mean[:, 0], var[:, 0]


def to_pictures(x: Tensor) -> Tensor:
    """(E, B, H, W, C) -> (E B, C, H, W), still channels last in memory."""
    return x.flatten(0, 1).permute(0, 3, 1, 2)


def from_pictures(pictures: Tensor, like: Tensor) -> Tensor:
    """The way back, to the E and B of ``like``."""
    x = pictures.permute(0, 2, 3, 1)
    return x.reshape(like.shape[0], like.shape[1], *x.shape[1:])


class Stackable(Protocol):
    """A network that knows its forward over stacked episodes."""

    def stacked(self, layers: Layers, x: Tensor) -> Tensor:
        """(E, B, …) inputs -> (E, B, D), by layers in a row: what one gives the next one takes."""
        ...

    def values_per_input(self, shape: tuple[int, ...]) -> int:
        """How many numbers that forward holds at once for one input of this shape, roughly."""
        ...


def is_stackable(network: object) -> TypeGuard[Stackable]:
    """Whether a network knows its forward over stacked episodes: this forward, not one that a
    subclass has replaced.
    """
    kind: Any = type(network)  # hashable, whatever a checker makes of classes
    return _stacks(kind)


@cache
def _stacks(kind: type[Any]) -> bool:
    parents = [vars(parent) for parent in kind.__mro__]
    stacked = next((i for i, known in enumerate(parents) if "stacked" in known), len(parents))
    forward = next((i for i, known in enumerate(parents) if "forward" in known), len(parents))
    return stacked < len(parents) and stacked <= forward


def forward_stacked(
    network: nn.Module,
    params: Params,
    x: Tensor,
    statistics: Statistics | None = None,
    *,
    prior: Prior | None = None,
) -> tuple[Tensor, Statistics]:
    """``forward`` for E episodes at once, each under its own parameters and statistics.

    x: (E, B, …); all of params and statistics lead with (E,), in the results as well.
    """
    if is_stackable(network):
        layers = Layers(params=params, given=statistics, prior=prior)
        return network.stacked(layers, x), layers.used

    def one(params: Params, x: Tensor, given: Statistics | None) -> tuple[Tensor, Statistics]:
        return forward(network, params, x, given, prior=prior)

    if len(x) == 1:  # a single episode pays nothing for the batch
        features, used = one(_first(params), x[0], statistics and _first(statistics))
        return features[None], {name: value[None] for name, value in used.items()}
    in_dims = (0, 0, None if statistics is None else 0)
    stacked: tuple[Tensor, Statistics] = vmap(one, in_dims=in_dims)(params, x, statistics)
    return stacked


def episodes_at_once(network: nn.Module, batch: tuple[int, ...]) -> int:
    """How many episodes with a batch (B, …) of inputs like this a CPU takes in one call.

    Few leave a core waiting for the interpreter, many for memory: measured with conv4 of 64
    filters, 16 to 32 of 5 drawings and 4 to 8 of 25 are best. For networks that we do not know it
    is a guess.
    """
    inputs, shape = batch[0], batch[1:]
    if is_stackable(network):
        each = network.values_per_input(shape)
    else:
        each = OF_OTHERS * math.prod(shape)
    return max(1, AT_ONCE // max(1, inputs * each))


def _first(tree: Params) -> Params:
    return {name: value[0] for name, value in tree.items()}
