"""Convolution of stacked episodes as one batched matrix product of patches and filters.

Pictures lie channels last. What a filter sees at each place becomes a row of a matrix, and the
gradient goes back by the adjoint; both are sums of rows in one call. This file knows no layer.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

# Patches of one episode from which on a CPU waits for memory, and torch's own convolution, which
# makes none, is faster: at 0.7 million by 10 %, at 2 million by 60 %, at 8 million by 140 %.
LARGE = 700_000
GEOMETRIES = 64  # of one picture, kept: some 10 kB each
STACKS = 24  # of all pictures of a call, kept: mostly some 100 kB; a new one takes 0.1 ms
KERNEL = 3  # with padding 1, as everywhere here


def as_matrices(weight: Tensor) -> Tensor:
    """The same filters (F, C, 3, 3), in memory as the (9 C, F) matrix that a patch is times."""
    return weight.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)


def convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """3 x 3 convolution with padding 1, without bias.

    x: (E, B, H, W, C), weight: (E, F, C, 3, 3) -> (E, B, ceil(H / stride), ceil(W / stride), F).
    Fastest where the weights lie as ``as_matrices`` lays them, for then they are matrices already.
    """
    if is_large(x, stride):
        return torch.stack([_convolved(*one, stride) for one in zip(x, weight, strict=True)])
    patches: Tensor = Patches.apply(x, stride)  # type: ignore[no-untyped-call]
    return torch.bmm(patches, matrices(weight)).view(shape_of(x, weight, stride))


def _convolved(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    pictures = x.permute(0, 3, 1, 2)  # channels last in memory, and so is what comes of it
    return F.conv2d(pictures, weight, stride=stride, padding=1).permute(0, 2, 3, 1)


def is_large(x: Tensor, stride: int) -> bool:
    _, batch, height, width, channels = x.shape
    places = batch * _out(height, stride) * _out(width, stride)
    return x.device.type == "cpu" and KERNEL * KERNEL * channels * places > LARGE


def shape_of(x: Tensor, weight: Tensor, stride: int) -> tuple[int, ...]:
    e, b, height, width, _ = x.shape
    return e, b, _out(height, stride), _out(width, stride), weight.shape[1]


def matrices(weight: Tensor) -> Tensor:
    return weight.permute(0, 3, 4, 2, 1).flatten(1, 3)  # (E, 9 C, F)


def _out(size: int, stride: int) -> int:
    return (size - 1) // stride + 1


class Patches(Function):
    """(E, B, H, W, C) -> (E, B h w, 9 C): what a 3 x 3 filter sees at each of its places."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: int) -> Tensor:
        ctx.shape, ctx.stride = x.shape, stride
        return gather(x, stride)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return Fold.apply(gradient, ctx.shape, ctx.stride), None  # type: ignore[no-untyped-call]


class Fold(Function):
    """The adjoint of patches: every place gets the sum over the filters that saw it."""

    @staticmethod
    def forward(ctx: Any, patches: Tensor, shape: torch.Size, stride: int) -> Tensor:
        ctx.stride = stride
        return fold(patches, shape, stride)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return Patches.apply(gradient, ctx.stride), None, None  # type: ignore[no-untyped-call]


# Both ways are sums of rows of C numbers, of one or none and of up to nine: one call of a kernel
# that was made for it, where padding, slices and additions take seven times as long.


def gather(x: Tensor, stride: int) -> Tensor:
    """(E, B, H, W, C) -> (E, B h w, 9 C)."""
    rows, bags = _seen(x.shape[:4], stride, x.device)
    patches = F.embedding_bag(rows, _rows(x), bags, mode="sum")
    return patches.view(len(x), -1, KERNEL * KERNEL * x.shape[-1])


def fold(patches: Tensor, shape: torch.Size, stride: int) -> Tensor:
    """(E, B h w, 9 C) -> (E, B, H, W, C), this shape."""
    rows, bags = _seen_by(shape[:4], stride, patches.device)
    return F.embedding_bag(rows, _rows(patches.reshape(-1, shape[-1])), bags, mode="sum").view(
        shape
    )


def _rows(x: Tensor) -> Tensor:
    """(…, C) -> (rows, C) with rows and columns next to each other even where there is one column;
    the kernel's fast way asks for that.
    """
    return x.detach().reshape(-1).view(-1, x.shape[-1])


@lru_cache(maxsize=STACKS)
def _seen(shape: torch.Size, stride: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each place of a filter and each of its nine weights, the row of x under it, or none."""
    *_, height, width = shape
    places, within = _geometry(height, width, stride)
    bags = within.int().cumsum(0) - within.int()
    return _of_all(shape, places[within], height * width, bags, device)


@lru_cache(maxsize=STACKS)
def _seen_by(shape: torch.Size, stride: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each row of x, the rows of the patches that hold it."""
    *_, height, width = shape
    places, within = _geometry(height, width, stride)
    slots = within.nonzero()[:, 0][places[within].argsort(stable=True)]
    counts = torch.bincount(places[within], minlength=height * width)
    return _of_all(shape, slots, len(within), counts.cumsum(0) - counts, device)


def _of_all(
    shape: torch.Size, rows: Tensor, apart: int, bags: Tensor, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Rows and beginnings of bags for E B pictures from those for one; ``apart``: rows of each."""
    pictures = torch.arange(shape[0] * shape[1], dtype=torch.int32, device=device)[:, None]
    all_rows = rows.int().to(device) + pictures * apart
    all_bags = bags.int().to(device) + pictures * len(rows)
    return all_rows.flatten(), all_bags.flatten()


@lru_cache(maxsize=GEOMETRIES)
def _geometry(height: int, width: int, stride: int) -> tuple[Tensor, Tensor]:
    """Of one picture: the row under each weight at each place, and whether it is within the
    picture; both (h w 9,).
    """
    window = torch.arange(KERNEL) - 1
    down = (torch.arange(_out(height, stride)) * stride)[:, None, None, None] + window[:, None]
    right = (torch.arange(_out(width, stride)) * stride)[:, None, None] + window
    within = (down >= 0) & (down < height) & (right >= 0) & (right < width)
    return (down * width + right).flatten(), within.flatten()
