"""Gradient steps on the head alone, of a size that cannot overshoot.

The features stand still, so they are computed once, centred and scaled once, and the loss is convex
in the head. Its curvature is at most that of the loss in an example's outputs times the largest
eigenvalue of the features' Gram matrix; a step of the inverse of that never raises the loss
(Nesterov 2004, theorem 2.1.5). Raw features are far from 0 and large: there the same step size is
too long in one direction and too short in all others.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from models.heads.layer import BIAS, WEIGHT
from models.normalisation import Params

Back = Callable[[Tensor], tuple[Tensor, Tensor]]


def steady_steps(
    start: Params,
    features: Tensor,
    back: Back,
    *,
    mask: Tensor | None,
    curvature: float,
    sizes: Tensor | None,
) -> Iterator[tuple[Params, Tensor, Tensor]]:
    """Without end: the heads (E, N, D) and (E, N), their support losses (E,), and the size (E,) of
    the next step.

    features: (E, S, D). back: from outputs (E, S, N) to each episode's loss and its gradient there.
    curvature: the most that the loss of one example curves in its outputs. sizes: (E,) of steps in
    centred and scaled features, 0 for the longest that is safe, which no step exceeds. A step that
    raised the loss all the same, by rounding, is taken back, and those after it are shorter.
    """
    counts = features.new_ones(features.shape[:2]) if mask is None else mask.to(features.dtype)
    centre, spread = _moments(features, counts)
    rows = torch.cat([(features - centre) / spread, torch.ones_like(features[..., :1])], dim=2)
    rows = rows * counts[..., None]
    most = _longest(rows, counts, curvature)
    size = most if sizes is None else torch.where(sizes > 0, torch.minimum(sizes, most), most)
    head = _scaled(start, centre, spread)
    kept: tuple[Tensor, Tensor, Tensor] | None = None
    while True:
        losses, for_outputs = back(rows @ head.mT)
        gradient = for_outputs.mT @ rows
        if kept is not None:
            worse = ~(losses <= kept[1])
            head = torch.where(worse[:, None, None], kept[0], head)
            gradient = torch.where(worse[:, None, None], kept[2], gradient)
            losses = torch.where(worse, kept[1], losses)
            size = torch.where(worse, size / 4, size)
        kept = head, losses, gradient
        yield _unscaled(head, centre, spread), losses, size
        head = head - size[:, None, None] * gradient


def _moments(features: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (E, 1, D) of the features that count, and one spread (E, 1, 1) about it."""
    number, weights = counts.sum(dim=1)[:, None, None], counts[..., None]
    centre = (features * weights).sum(dim=1, keepdim=True) / number
    apart = (features - centre) * weights
    variance = apart.square().sum(dim=(1, 2), keepdim=True) / (number * features.shape[2])
    return centre, torch.where(variance > 0, variance, 1.0).sqrt()


def _longest(rows: Tensor, counts: Tensor, curvature: float) -> Tensor:
    """(E,) the step that never overshoots."""
    tall = rows.shape[1] > rows.shape[2]
    gram = rows.mT @ rows if tall else rows @ rows.mT
    largest = torch.linalg.eigvalsh(gram)[:, -1]
    longest: Tensor = counts.sum(dim=1) / (curvature * largest)
    return longest


def _scaled(head: Params, centre: Tensor, spread: Tensor) -> Tensor:
    """(E, N, D + 1): the head for centred and scaled features, its bias as the last column."""
    moved = head[BIAS][..., None] + head[WEIGHT] @ centre.mT
    return torch.cat([head[WEIGHT] * spread, moved], dim=2)


def _unscaled(head: Tensor, centre: Tensor, spread: Tensor) -> Params:
    weight = head[..., :-1] / spread
    return {WEIGHT: weight, BIAS: head[..., -1] - (weight @ centre.mT)[..., 0]}
