"""Layers of stacked episodes with their gradients written out, and as nodes of torch's graph.

A gradient is written twice: as arithmetic that reuses memory, for an inner step whose graph nobody
needs, and by torch's own operations, for a meta-gradient to pass through. Statistics of the batch
are pooled with a prior's (``models/normalisation.py``); a share of 1 is the batch alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from models.engine.patches import KERNEL, convolve, fold, gather, is_large, matrices, shape_of
from models.normalisation import pooled

Gradient = Tensor | None


class Known(NamedTuple):
    """What is known beside the batch: a prior's mean and variance (C,), and the share of the batch
    in the pooled sample.
    """

    mean: Tensor
    var: Tensor
    share: float


class Normalised(NamedTuple):
    """What the gradient of a normalisation needs: (E, R, C) rows centred and activated, (E, 1, C)
    scale, and how far the batch's mean is from the pooled one (None where it is the same).
    """

    centred: Tensor
    activation: Tensor
    scale: Tensor
    offset: Tensor | None
    share: float


class Convolved(NamedTuple):
    """What the gradient of a convolution needs; patches None: torch's own made it."""

    x: Tensor
    weight: Tensor
    patches: Tensor | None
    stride: int


def convolve_rows(x: Tensor, weight: Tensor, stride: int) -> tuple[Tensor, Convolved]:
    """(E, B, H, W, C), (E, F, C, 3, 3) -> (E, B h w, F)."""
    if is_large(x, stride):
        return convolve(x, weight, stride).flatten(1, 3), Convolved(x, weight, None, stride)
    patches = gather(x, stride)
    return torch.bmm(patches, matrices(weight)), Convolved(x, weight, patches, stride)


def convolved_back(saved: Convolved, for_rows: Tensor, *, to_x: bool) -> tuple[Gradient, Tensor]:
    """The gradients in x, where it is asked for, and in the filters."""
    x, weight, patches, stride = saved
    if patches is None:
        return _torchs_back(saved, for_rows, to_x)
    e, f, c, _, _ = weight.shape
    for_filters = torch.bmm(patches.mT, for_rows)
    for_weight = for_filters.view(e, KERNEL, KERNEL, c, f).permute(0, 4, 3, 1, 2)
    if not to_x:
        return None, for_weight
    return fold(torch.bmm(for_rows, matrices(weight).mT), x.shape, stride), for_weight


def _torchs_back(saved: Convolved, for_rows: Tensor, to_x: bool) -> tuple[Gradient, Tensor]:
    x, weight, _, stride = saved
    maps = for_rows.view(shape_of(x, weight, stride))
    same = ([stride] * 2, [1, 1], [1, 1], False, [0, 0], 1, [to_x, True, False])
    found = [
        torch.ops.aten.convolution_backward(
            g.permute(0, 3, 1, 2), one.permute(0, 3, 1, 2), filters, None, *same
        )
        for g, one, filters in zip(maps, x, weight, strict=True)
    ]
    for_weight = torch.stack([one[1] for one in found])
    if not to_x:
        return None, for_weight
    return torch.stack([one[0].permute(0, 2, 3, 1) for one in found]), for_weight


def normalise_(
    rows: Tensor, bias: Tensor, known: Known, eps: float
) -> tuple[Tensor, Tensor, Normalised]:
    """Centres rows (E, R, C) in place; the pooled mean and variance (E, C), and the activations in
    what the gradient needs.
    """
    mean = rows.mean(1, keepdim=True)
    rows.sub_(mean)
    activation = rows * rows
    var = activation.mean(1, keepdim=True)
    shift, offset, pooled_mean = bias[:, None], None, mean
    if known.share < 1:
        pooled_mean, var = pooled(mean, var, *known)
        offset = mean - pooled_mean
    scale = (var + eps).rsqrt_()
    if offset is not None:
        shift = torch.addcmul(shift, offset, scale)
    torch.addcmul(shift, rows, scale, out=activation).relu_()
    saved = Normalised(rows, activation, scale, offset, known.share)
    return pooled_mean[:, 0], var[:, 0], saved


def normalised_back(
    saved: Normalised, for_z: Tensor, for_mean: Gradient = None, for_var: Gradient = None
) -> tuple[Tensor, Tensor]:
    """The gradients in the rows (E, R, C) and in the bias (E, C), from those in the outputs."""
    centred, activation, scale, offset, share = saved
    each = share / centred.shape[1]
    g = torch.ops.aten.threshold_backward(for_z, activation, 0)
    for_bias = g.sum(1, keepdim=True)
    for_scale = (g * centred).sum(1, keepdim=True)
    if offset is not None:
        for_scale.addcmul_(offset, for_bias)
    # 2 / R of the gradient in the batch's variance, and 1 / R of that in its mean, which moves the
    # pooled mean by its share and the pooled variance with the gap between the two
    by_var = for_scale.mul_(scale * scale).mul_(scale).mul_(-each)
    if for_var is not None:
        by_var.add_(for_var[:, None], alpha=2 * each)
    by_mean = (scale * for_bias).mul_(-each)
    if for_mean is not None:
        by_mean.add_(for_mean[:, None], alpha=each)
    if offset is not None:
        by_mean.addcmul_(offset, by_var)
    return g.mul_(scale).addcmul_(centred, by_var).add_(by_mean), for_bias[:, 0]


class ConvNormRelu(Function):
    """x (E, B, H, W, C), filters (E, F, C, 3, 3), bias (E, F), what is known (F,), eps, stride ->
    activations (E, B, h, w, F), pooled mean and variance (E, F).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean_0: Tensor,
        var_0: Tensor,
        share: float,
        eps: float,
        stride: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows, conv = convolve_rows(x, weight, stride)
        mean, var, norm = normalise_(rows, bias, Known(mean_0, var_0, share), eps)
        ctx.save_for_backward(x, weight, bias, mean_0, var_0, conv.patches, *norm[:-1])
        ctx.share, ctx.eps, ctx.stride = share, eps, stride
        ctx.set_materialize_grads(False)
        return norm.activation.view(shape_of(x, weight, stride)), mean, var

    @staticmethod
    def backward(ctx: Any, for_z: Gradient, for_mean: Gradient, for_var: Gradient) -> Any:
        x, weight, bias, mean_0, var_0, patches, *norm = ctx.saved_tensors
        to_x = ctx.needs_input_grad[0]
        if torch.is_grad_enabled():

            def again(weight: Tensor, bias: Tensor, x: Tensor = x) -> tuple[Tensor, ...]:
                maps = convolve(x, weight, ctx.stride)
                known = Known(mean_0, var_0, ctx.share)
                z, mean, var = twice_differentiable(maps.flatten(1, 3), bias, known, ctx.eps)
                return z.view(maps.shape), mean, var

            inputs = (weight, bias, x) if to_x else (weight, bias)
            found = (*_graph_of(again, inputs, (for_z, for_mean, for_var)), None)
            return found[2], found[0], found[1], *(None,) * 5
        saved = Normalised(*norm, ctx.share)  # type: ignore[call-arg]
        for_z = torch.zeros_like(saved.activation) if for_z is None else for_z.flatten(1, 3)
        for_rows, for_bias = normalised_back(saved, for_z, for_mean, for_var)
        conv = Convolved(x, weight, patches, ctx.stride)
        return *convolved_back(conv, for_rows, to_x=to_x), for_bias, *(None,) * 5


class NormRelu(Function):
    """Rows (E, R, C), bias (E, C), what is known (C,), eps -> activations (E, R, C), pooled mean
    and variance (E, C).
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
        mean, var, norm = normalise_(rows.clone(), bias, Known(mean_0, var_0, share), eps)
        ctx.save_for_backward(rows, bias, mean_0, var_0, *norm[:-1])
        ctx.share, ctx.eps = share, eps
        ctx.set_materialize_grads(False)
        return norm.activation, mean, var

    @staticmethod
    def backward(ctx: Any, for_z: Gradient, for_mean: Gradient, for_var: Gradient) -> Any:
        rows, bias, mean_0, var_0, *norm = ctx.saved_tensors
        if torch.is_grad_enabled():

            def again(rows: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
                return twice_differentiable(rows, bias, Known(mean_0, var_0, ctx.share), ctx.eps)

            return *_graph_of(again, (rows, bias), (for_z, for_mean, for_var)), *(None,) * 4
        saved = Normalised(*norm, ctx.share)  # type: ignore[call-arg]
        for_z = torch.zeros_like(saved.activation) if for_z is None else for_z
        return *normalised_back(saved, for_z, for_mean, for_var), *(None,) * 4


def twice_differentiable(
    rows: Tensor, bias: Tensor, known: Known, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """``normalise_`` as torch's own operations, whose gradients have gradients."""
    mean = rows.mean(1, keepdim=True)
    centred = rows - mean
    var = centred.square().mean(1, keepdim=True)
    pooled_mean, var = pooled(mean, var, *known) if known.share < 1 else (mean, var)
    scale = torch.rsqrt(var + eps)
    shift = torch.addcmul(bias[:, None], mean - pooled_mean, scale)
    return torch.addcmul(shift, centred, scale).relu(), pooled_mean[:, 0], var[:, 0]


def _graph_of(
    again: Callable[..., tuple[Tensor, ...]],
    inputs: tuple[Tensor, ...],
    gradients: tuple[Gradient, ...],
) -> tuple[Tensor, ...]:
    """The gradients in the inputs as a graph, by running the forward once more."""
    with torch.enable_grad():
        outputs = again(*inputs)
        known = [(o, g) for o, g in zip(outputs, gradients, strict=True) if g is not None]
        return torch.autograd.grad(
            [output for output, _ in known],
            inputs,
            [gradient for _, gradient in known],
            create_graph=True,
        )
