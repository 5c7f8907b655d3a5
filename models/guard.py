"""Steps that never harm: every episode stays at the lowest support loss that it has seen.

A step that raises an episode's support loss is taken back, and those after it are shorter
(backtracking, as in Armijo 1966, without a second evaluation: the loss at the new point is computed
anyway, for the gradient of the next step). An episode whose loss never rises is not changed by it.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor

from models.normalisation import Params, Statistics

SHORTER: Final = 0.25


class Point(NamedTuple):
    """A point on the way from θ to φ: parameters, support statistics and support losses there, the
    size (E,) of the steps that are next, where they have one, and the features (E, S, D) of the
    support sets, where they stay.
    """

    params: Params
    statistics: Statistics
    losses: Tensor
    size: Tensor | None = None
    features: Tensor | None = None


class Guard:
    """Where each of E episodes stands, and how much shorter its steps have become.

    scale: (E,), None as long as every step was good.
    """

    def __init__(self) -> None:
        self.scale: Tensor | None = None
        self._kept: tuple[Point, Params] | None = None

    def keep(self, point: Point, gradient: Params) -> tuple[Point, Params]:
        """The point with its gradient, and the one before in the episodes whose loss has risen, or
        is no number any more.
        """
        if self._kept is not None:
            before, its_gradient = self._kept
            worse = ~(point.losses <= before.losses)
            if bool(worse.any()):
                point = Point(
                    params=_chosen(worse, before.params, point.params),
                    statistics=_chosen(worse, before.statistics, point.statistics),
                    losses=torch.where(worse, before.losses, point.losses),
                    size=point.size,
                )
                gradient = _chosen(worse, its_gradient, gradient)
                scale = torch.ones_like(point.losses) if self.scale is None else self.scale
                self.scale = torch.where(worse, scale * SHORTER, scale)
        self._kept = point, gradient
        return point, gradient


def _chosen(worse: Tensor, before: Params, after: Params) -> Params:
    """Each episode's tensors from before where it is worse now; those that never move are one."""
    return {
        name: value
        if value is before[name]
        else torch.where(worse.view(-1, *(1,) * (value.dim() - 1)), before[name], value)
        for name, value in after.items()
    }
