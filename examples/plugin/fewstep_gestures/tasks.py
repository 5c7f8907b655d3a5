"""Gestures as an accelerometer sees them: every class is a smooth movement in three axes, every
example of it a little faster or slower, larger or smaller, later and noisier.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.episodes import Episodes, EpisodeShape

FIRST_CLASS = {"train": 0, "validation": 10_000, "test": 20_000}
CLASSES, HARMONICS = 10_000, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Gestures:
    """10,000 classes in each split; window: readings of one example; noise: their deviation."""

    window: int = 64
    noise: float = 0.5
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
        """x: (E, N·K, 3, window) float32; the classes of an episode differ."""
        each = shape.shot + shape.query
        order = torch.rand(episodes, CLASSES, generator=generator).argsort(dim=1)
        classes = FIRST_CLASS[split] + order[:, : shape.way]
        x = self._examples(classes, each, generator)  # (E, N, K + Q, 3, window)
        labels = torch.arange(shape.way)[None, :, None].expand(x.shape[:3])
        return Episodes(
            support_x=x[:, :, : shape.shot].flatten(1, 2),
            support_y=labels[:, :, : shape.shot].flatten(1, 2),
            query_x=x[:, :, shape.shot :].flatten(1, 2),
            query_y=labels[:, :, shape.shot :].flatten(1, 2),
            outputs=shape.way,
        )

    def describe(self) -> dict[str, object]:
        return {"name": "gestures", "window": self.window, "noise": self.noise}

    def _examples(self, classes: Tensor, each: int, generator: torch.Generator) -> Tensor:
        movements = torch.stack([movement(int(c)) for c in classes.flatten()])
        movements = movements.view(*classes.shape, 1, 3, HARMONICS, 2)

        def jitter(least: float, most: float) -> Tensor:
            drawn = torch.rand(*classes.shape, each, 1, 1, generator=generator)
            return least + (most - least) * drawn

        turns = torch.arange(1, HARMONICS + 1)[:, None] * torch.linspace(0, 1, self.window)
        time = turns * jitter(0.8, 1.25) + torch.arange(1, HARMONICS + 1)[:, None] * jitter(0, 0.15)
        waves = torch.stack([(2 * math.pi * time).sin(), (2 * math.pi * time).cos()], dim=-1)
        clean = torch.einsum(
            "enkahc,enkhtc->enkat", movements.expand(-1, -1, each, -1, -1, -1), waves
        )
        noise = torch.randn(clean.shape, generator=generator) * self.noise
        return clean * jitter(0.7, 1.4) + noise


def movement(number: int) -> Tensor:
    """(3, harmonics, 2): the Fourier coefficients of this class, the same at every call."""
    drawn = torch.randn(3, HARMONICS, 2, generator=torch.Generator().manual_seed(number))
    return drawn / torch.arange(1, HARMONICS + 1)[:, None]


def open_gestures(
    config: Mapping[str, Any],
    *,
    folder: Path | None,
    cache: Path | None,
    progress: Callable[[int], None],
) -> Gestures:
    """What the entry point gives to Fewstep: the distribution of a recipe's table."""
    return Gestures(**config)
