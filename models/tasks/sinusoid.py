"""Sinusoids (Finn et al. 2017, section 5.1): y = A sin(x - φ) with A and φ fresh in every
episode.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.episodes import Episodes, EpisodeShape

AMPLITUDE = (0.1, 5.0)
PHASE = (0.0, math.pi)
X_RANGE = (-5.0, 5.0)


@dataclass(frozen=True, slots=True)
class Sinusoids:
    """Infinitely many episodes of scalar regression; every split is the same distribution.

    oracle: inputs are (x, A, φ) instead of x, so that nothing is left to adapt to: the bound of the
    paper's figure 2.
    """

    oracle: bool = False
    preprocessing: None = None

    def draw(
        self,
        split: str,
        episodes: int,
        shape: EpisodeShape,
        generator: torch.Generator,
        *,
        augment: bool = False,
    ) -> Episodes:
        """shape.shot support and shape.query query points each, x: (E, points, 1), without
        noise.
        """
        amplitude = _uniform(AMPLITUDE, (episodes, 1, 1), generator)
        phase = _uniform(PHASE, (episodes, 1, 1), generator)
        x = _uniform(X_RANGE, (episodes, shape.shot + shape.query, 1), generator)
        y = amplitude * torch.sin(x - phase)
        if self.oracle:
            x = torch.cat([x, amplitude.expand_as(x), phase.expand_as(x)], dim=2)
        return Episodes(
            support_x=x[:, : shape.shot],
            support_y=y[:, : shape.shot],
            query_x=x[:, shape.shot :],
            query_y=y[:, shape.shot :],
            outputs=1,
        )

    def describe(self) -> dict[str, object]:
        return {"name": "sinusoid", "amplitude": AMPLITUDE, "phase": PHASE, "x": X_RANGE}


def _uniform(
    bounds: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(shape, generator=generator)
