"""Layers over stacked episodes: inputs lead with (E,), and every episode has parameters of its own.

A convolution becomes one batched matrix product of patches, pictures lie channels last, and
normalisation with ReLU is one node with its gradient written out. On a CPU this takes a third of
the time of one grouped convolution per layer, which is what ``vmap`` makes of them. Twice
differentiable. A network that says how it is made of these layers is run so; any other by ``vmap``.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.func import vmap
from torch.nn import functional as F

from models.normalisation import Params, Prior, Statistics, forward, pooled

AT_ONCE = 3_400_000  # numbers in one call on a CPU: 14 MB
# Patches of one episode from which on a CPU waits for memory, and torch's own convolution, which
# makes none, is faster: at 0.7 million by 10 %, at 2 million by 60 %, at 8 million by 140 %.
LARGE = 700_000
GEOMETRIES = 64  # kept: at most 14 MB each on a CPU, mostly some 100 kB
OF_OTHERS = 64  # numbers per number of the input, in a network of somebody else
KERNEL = 3  # with padding 1, as everywhere here


def convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """3 x 3 convolution with padding 1, without bias.

    x: (E, B, H, W, C), weight: (E, F, C, 3, 3) -> (E, B, ceil(H / stride), ceil(W / stride), F).
    Fastest where the weights lie as ``as_matrices`` lays them, for then they are matrices already.
    """
    episodes, batch, height, width, channels = x.shape
    places = batch * _out(height, stride) * _out(width, stride)
    if x.device.type == "cpu" and 9 * channels * places > LARGE:
        return torch.stack([_convolved(*one, stride) for one in zip(x, weight, strict=True)])
    patches: Tensor = _Patches.apply(x, stride)  # type: ignore[no-untyped-call]
    filters = weight.permute(0, 3, 4, 2, 1).flatten(1, 3)  # (E, 9 C, F)
    size = (_out(height, stride), _out(width, stride))
    return torch.bmm(patches, filters).view(episodes, batch, *size, -1)


def _convolved(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    pictures = x.permute(0, 3, 1, 2)  # channels last in memory, and so is what comes of it
    return F.conv2d(pictures, weight, stride=stride, padding=1).permute(0, 2, 3, 1)


def as_matrices(weight: Tensor) -> Tensor:
    """The same filters (F, C, 3, 3), in memory as the (9 C, F) matrix that a patch is times."""
    return weight.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)


def halve(x: Tensor) -> Tensor:
    """(E, B, H, W, C) -> (E, B, H // 2, W // 2, C) by max-pooling."""
    pictures = x.flatten(0, 1).permute(0, 3, 1, 2)
    halved: Tensor = F.max_pool2d(pictures, 2).permute(0, 2, 3, 1)
    return halved.reshape(*x.shape[:2], *halved.shape[1:])


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(E, B, D), (E, F, D), (E, F) -> (E, B, F)."""
    if bias is None:
        return torch.bmm(x, weight.mT)
    return torch.baddbmm(bias[:, None], x, weight.mT)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackedNorm:
    """Normalisation in one forward: by these statistics, or by the batch at hand and a prior.

    given: (E, C) of each layer; None: the batch's own. used: what normalised, by the same names.
    """

    given: Statistics | None
    prior: Prior | None = None
    used: Statistics = field(default_factory=dict)

    def relu(self, x: Tensor, bias: Tensor, path: str, eps: float) -> Tensor:
        """ReLU of x (E, B, …, C) normalised per channel and shifted by bias (E, C)."""
        rows = x.flatten(1, -2)
        if self.given is not None:
            mean, var = self.given[f"{path}.mean"], self.given[f"{path}.var"]
            scale = torch.rsqrt(var + eps)[:, None]
            shift = bias[:, None] - mean[:, None] * scale
            activation = torch.addcmul(shift, rows, scale).relu()
        else:
            activation, mean, var = self._by_batch(rows, bias, x.shape[1], path, eps)
        self.used[f"{path}.mean"], self.used[f"{path}.var"] = mean, var
        return activation.view_as(x)

    def _by_batch(
        self, rows: Tensor, bias: Tensor, examples: int, path: str, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        if self.prior is None:
            zero = rows.new_zeros(rows.shape[-1])
            known: tuple[Tensor, Tensor, float] = (zero, zero, 1.0)
        else:
            known = (
                self.prior.statistics[f"{path}.mean"],
                self.prior.statistics[f"{path}.var"],
                examples / (examples + self.prior.examples),
            )
        activation, mean, var = _NormRelu.apply(rows, bias, *known, eps)  # type: ignore[no-untyped-call]
        return activation, mean, var


@runtime_checkable
class Stackable(Protocol):
    """A network that knows its forward over stacked episodes."""

    def stacked(self, params: Params, x: Tensor, norm: StackedNorm) -> Tensor:
        """(E, B, …) inputs under (E, …) parameters -> (E, B, D)."""
        ...

    def values_per_input(self, shape: tuple[int, ...]) -> int:
        """How many numbers that forward holds at once for one input of this shape, roughly."""
        ...


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
    if isinstance(network, Stackable):
        norm = StackedNorm(given=statistics, prior=prior)
        return network.stacked(params, x, norm), norm.used

    def one(params: Params, x: Tensor, given: Statistics | None) -> tuple[Tensor, Statistics]:
        return forward(network, params, x, given, prior=prior)

    if len(x) == 1:  # a lonely episode pays nothing for the batch
        features, used = one(_first(params), x[0], statistics and _first(statistics))
        return features[None], {name: value[None] for name, value in used.items()}
    in_dims = (0, 0, None if statistics is None else 0)
    stacked: tuple[Tensor, Statistics] = vmap(one, in_dims=in_dims)(params, x, statistics)
    return stacked


def episodes_at_once(network: nn.Module, batch: tuple[int, ...]) -> int:
    """How many episodes with a batch (B, …) of inputs like this a CPU takes in one call.

    Few leave a core waiting for the interpreter, many for memory: measured with conv4 of 64
    filters, 16 of 5 drawings and 3 of 25 are best. For networks that we do not know it is a guess.
    """
    inputs, shape = batch[0], batch[1:]
    if isinstance(network, Stackable):
        each = network.values_per_input(shape)
    else:
        each = OF_OTHERS * math.prod(shape)
    return max(1, AT_ONCE // max(1, inputs * each))


def _first(tree: Params) -> Params:
    return {name: value[0] for name, value in tree.items()}


def _out(size: int, stride: int) -> int:
    return (size - 1) // stride + 1


class _Patches(Function):
    """(E, B, H, W, C) -> (E, B h w, 9 C): what a 3 x 3 filter sees at each of its places."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: int) -> Tensor:
        ctx.shape, ctx.stride = x.shape, stride
        rows, bags = _seen(x.shape[:4], stride, x.device)
        patches = F.embedding_bag(rows, _rows(x), bags, mode="sum")
        return patches.view(len(x), -1, KERNEL * KERNEL * x.shape[-1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _Fold.apply(gradient, ctx.shape, ctx.stride), None  # type: ignore[no-untyped-call]


class _Fold(Function):
    """The adjoint of patches: every place gets the sum over the filters that saw it."""

    @staticmethod
    def forward(ctx: Any, patches: Tensor, shape: torch.Size, stride: int) -> Tensor:
        ctx.stride = stride
        rows, bags = _seen_by(shape[:4], stride, patches.device)
        sums = F.embedding_bag(rows, _rows(patches.view(-1, shape[-1])), bags, mode="sum")
        return sums.view(shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _Patches.apply(gradient, ctx.stride), None, None  # type: ignore[no-untyped-call]


# Both ways are sums of rows of C numbers, of one or none and of up to nine: one call of a kernel
# that was made for it, where padding, slices and additions take seven times as long.


def _rows(x: Tensor) -> Tensor:
    """(…, C) -> (rows, C) with rows and columns next to each other even where there is one column;
    the kernel's fast way asks for that.
    """
    return x.detach().reshape(-1).view(-1, x.shape[-1])


@lru_cache(maxsize=GEOMETRIES)
def _seen(shape: torch.Size, stride: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each place of a filter and each of its nine weights, the row of x under it, or none."""
    places, within = _geometry(shape, stride)
    bags = within.int().cumsum(0) - within.int()
    return places[within].int().to(device), bags.int().to(device)


@lru_cache(maxsize=GEOMETRIES)
def _seen_by(shape: torch.Size, stride: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each row of x, the rows of the patches that hold it."""
    places, within = _geometry(shape, stride)
    slots = within.nonzero()[:, 0]
    order = places[within].argsort(stable=True)
    counts = torch.bincount(places[within], minlength=shape.numel())
    return slots[order].int().to(device), (counts.cumsum(0) - counts).int().to(device)


def _geometry(shape: torch.Size, stride: int) -> tuple[Tensor, Tensor]:
    """Of all pictures (E, B, H, W): the row under each weight at each place, and whether it is
    within its picture; both (E B h w 9,).
    """
    *_, height, width = shape
    window = torch.arange(KERNEL) - 1
    down = (torch.arange(_out(height, stride)) * stride)[:, None, None, None] + window[:, None]
    right = (torch.arange(_out(width, stride)) * stride)[:, None, None] + window
    within = (down >= 0) & (down < height) & (right >= 0) & (right < width)
    pictures = torch.arange(shape[0] * shape[1])[:, None] * height * width
    places = pictures + (down * width + right).flatten()
    return places.flatten(), within.flatten().repeat(len(pictures))


class _NormRelu(Function):
    """Rows (E, R, C), bias (E, C), a prior's mean and variance (C,), the batch's share of the
    pooled sample, eps -> activations (E, R, C), pooled mean and variance (E, C).
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        bias: Tensor,
        mean_0: Tensor,
        var_0: Tensor,
        share: float,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean = rows.mean(1, keepdim=True)
        centred = rows - mean
        var = (centred * centred).mean(1, keepdim=True)
        mean_p, var_p = pooled(mean, var, mean_0, var_0, share) if share < 1 else (mean, var)
        scale = torch.rsqrt(var_p + eps)
        offset = mean - mean_p
        activation = torch.addcmul(torch.addcmul(bias[:, None], offset, scale), centred, scale)
        activation.relu_()
        ctx.save_for_backward(rows, bias, mean_0, var_0, centred, scale, offset, activation)
        ctx.share, ctx.eps = share, eps
        return activation, mean_p[:, 0], var_p[:, 0]

    @staticmethod
    def backward(ctx: Any, for_z: Tensor, for_mean: Tensor, for_var: Tensor) -> Any:
        if torch.is_grad_enabled():
            return *_differentiable_gradient(ctx, for_z, for_mean, for_var), *(None,) * 4
        _, _, _, _, centred, scale, offset, activation = ctx.saved_tensors
        share, rows = ctx.share, centred.shape[1]
        g = torch.ops.aten.threshold_backward(for_z, activation, 0)
        for_bias = g.sum(1, keepdim=True)
        for_scale = (g * centred).sum(1, keepdim=True).addcmul_(offset, for_bias)
        for_var = for_var[:, None] - 0.5 * for_scale * scale**3  # of the pooled variance
        # the batch's mean moves the pooled mean by its share, and the pooled variance with the gap
        to_mean = share * (for_mean[:, None] - scale * for_bias) + 2 * share * offset * for_var
        g.mul_(scale).addcmul_(centred, for_var * (2 * share / rows)).add_(to_mean / rows)
        return g, for_bias[:, 0], None, None, None, None


def _differentiable_gradient(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
    """The same gradient as a graph of its own, for a meta-gradient to pass through."""
    rows, bias, mean_0, var_0, *_ = ctx.saved_tensors
    with torch.enable_grad():
        mean = rows.mean(1, keepdim=True)
        centred = rows - mean
        var = centred.square().mean(1, keepdim=True)
        mean_p, var_p = pooled(mean, var, mean_0, var_0, ctx.share)
        scale = torch.rsqrt(var_p + ctx.eps)
        shift = torch.addcmul(bias[:, None], mean - mean_p, scale)
        activation = torch.addcmul(shift, centred, scale).relu()
        outputs = (activation, mean_p[:, 0], var_p[:, 0])
        return torch.autograd.grad(outputs, (rows, bias), gradients, create_graph=True)
