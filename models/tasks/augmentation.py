"""What is done to drawn pictures: quarter turns and mirrors of whole classes, small distortions."""

import torch
from torch import Tensor
from torch.nn import functional as F


def turn_pictures(pictures: Tensor, turns: Tensor) -> Tensor:
    """(E, N, P, …, H, W) pictures, those of each class turned by (E, N) quarter turns."""
    turned = pictures.clone()
    for k in (1, 2, 3):
        turned[turns == k] = torch.rot90(pictures[turns == k], k, dims=(-2, -1))
    return turned


def mirror_pictures(pictures: Tensor, mirrored: Tensor) -> Tensor:
    """(E, N, P, …, H, W) pictures, those of the (E, N) classes that are True left for right."""
    shown = pictures.clone()
    shown[mirrored] = pictures[mirrored].flip(-1)
    return shown


def distort_pictures(
    pictures: Tensor, strength: float, generator: torch.Generator, *, beyond: str = "zeros"
) -> Tensor:
    """(…, C, H, W) pictures, each under its own small affine map; strength 1: up to 17 % and, of 28
    pixels, 2. beyond: what comes in from outside, ``zeros`` or the picture's ``border`` repeated.
    """
    flat = pictures.flatten(0, -4)
    jitter = torch.rand(len(flat), 2, 3, generator=generator) * 2 - 1
    bounds = torch.tensor([[0.12, 0.17, 0.14], [0.17, 0.12, 0.14]]) * strength
    maps = torch.eye(2, 3) + jitter * bounds
    grid = F.affine_grid(maps, list(flat.shape), align_corners=False)
    return F.grid_sample(flat, grid, padding_mode=beyond, align_corners=False).view_as(pictures)
