"""Episodes out of labelled examples: N classes, K support and Q query examples of each.

Every classification data set ends here; its own file only reads it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.episodes import Episodes, EpisodeShape, Supply
from models.tasks.augmentation import distort_pictures, mirror_pictures, turn_pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledExamples:
    """examples: (M, …) float32, or uint8 that stands for [0, 1], class after class; counts: of each
    class, in the order of names; splits: which classes are for training, validation and test.

    turns: every drawn class is turned by a quarter turn of its own, in testing too (Omniglot).
    mirror and distort: what training adds, mirrored classes and small affine maps of every picture,
    beyond whose edges are ``zeros``, or the ``border`` repeated.
    """

    name: str
    examples: Tensor
    counts: tuple[int, ...]
    names: tuple[str, ...]
    splits: dict[str, list[int]]
    digest: str
    preprocessing: dict[str, Any] | None = None
    turns: bool = False
    mirror: bool = False
    distort: float = 0.0
    beyond: str = "zeros"

    def draw(
        self,
        split: str,
        episodes: int,
        shape: EpisodeShape,
        generator: torch.Generator,
        *,
        augment: bool = False,
    ) -> Episodes:
        """N classes without replacement, K + Q examples of each without replacement.

        support_x: (E, N·K, …) float32; labels are new in every episode. Raises ValueError where a
        split has too few classes with so many examples.
        """
        drawn = self._examples(split, episodes, shape, generator)
        if self.turns:
            turns = torch.randint(4, (episodes, shape.way), generator=generator)
            drawn = turn_pictures(drawn, turns)
        if augment and self.mirror:
            coin = torch.randint(2, (episodes, shape.way), generator=generator)
            drawn = mirror_pictures(drawn, coin.bool())
        if augment and self.distort:
            drawn = distort_pictures(drawn, self.distort, generator, beyond=self.beyond)
        labels = torch.arange(shape.way)[None, :, None].expand(drawn.shape[:3])
        return Episodes(
            support_x=drawn[:, :, : shape.shot].flatten(1, 2),
            support_y=labels[:, :, : shape.shot].flatten(1, 2),
            query_x=drawn[:, :, shape.shot :].flatten(1, 2),
            query_y=labels[:, :, shape.shot :].flatten(1, 2),
            outputs=shape.way,
        )

    def describe(self) -> dict[str, object]:
        test_classes = [self.names[index] for index in self.splits["test"]]
        return {"name": self.name, "digest": self.digest, "test_classes": test_classes}

    def supply(self) -> Supply:
        """What there is to draw from."""
        counts = {
            split: tuple(self.counts[index] for index in members)
            for split, members in self.splits.items()
        }
        return Supply(input_shape=tuple(self.examples.shape[1:]), counts=counts)

    def _examples(
        self, split: str, episodes: int, shape: EpisodeShape, generator: torch.Generator
    ) -> Tensor:
        """(E, N, K + Q, …) float32."""
        counts = torch.tensor(self.counts)
        pool = torch.tensor(self.splits[split], dtype=torch.int64)
        pool = pool[counts[pool] >= shape.shot + shape.query]
        if shape.way > len(pool):
            raise ValueError(
                f"{self.name}: expected at least {shape.way} {split} classes of {shape.shot} + "
                f"{shape.query} examples or more, got {len(pool)}"
            )
        order = torch.rand(episodes, len(pool), generator=generator).argsort(dim=1)
        classes = pool[order[:, : shape.way]]  # (E, N)
        tickets = torch.rand(episodes, shape.way, int(counts[pool].max()), generator=generator)
        absent = torch.arange(tickets.shape[2]) >= counts[classes][:, :, None]
        members = tickets.masked_fill(absent, 2.0).argsort(dim=2)[:, :, : shape.shot + shape.query]
        first = counts.cumsum(dim=0) - counts
        drawn = self.examples[first[classes][:, :, None] + members]
        return drawn.float() / 255 if drawn.dtype == torch.uint8 else drawn
