"""Convolution and normalisation of stacked episodes with their gradients written out.

Arithmetic that reuses memory, for an inner step whose graph nobody needs: with 64 filters and one
thread it saves a seventh (32 episodes) to a quarter (one) of an adaptation's time. Held by tests to
differences and to the graph of ``models/engine/layers.py``.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from models.engine.layers import Known
from models.engine.patches import KERNEL, convolve, fold, gather, is_large, matrices, shape_of
from models.normalisation import pooled

Gradient = Tensor | None


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


def normalised_back(saved: Normalised, for_z: Tensor) -> tuple[Tensor, Tensor]:
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
    by_mean = (scale * for_bias).mul_(-each)
    if offset is not None:
        by_mean.addcmul_(offset, by_var)
    return g.mul_(scale).addcmul_(centred, by_var).add_(by_mean), for_bias[:, 0]
