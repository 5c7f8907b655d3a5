"""Episodes out of labelled examples: N classes, of one or more kinds each, K support and Q query
examples of each kind.

Every classification data set ends here; its own file only reads it.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.episodes import Episodes, EpisodeShape, Noticed, Supply
from models.tasks.augmentation import distort_pictures, mirror_pictures, turn_pictures
from models.tasks.contents import content_of
from models.tasks.untidy import draw_shots, mislabel


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledExamples:
    """examples: (M, …) float32, or uint8 that stands for [0, 1], class after class; counts: of each
    class, in the order of names; splits: which classes are for training, validation and test.

    turns: every drawn class is turned by a quarter turn of its own, in testing too (Omniglot).
    mirror and distort: what training adds, mirrored classes and small affine maps of every picture,
    beyond whose edges are ``zeros``, or the ``border`` repeated; unprepared: the same examples
    without their preparation, shown in place of a share of them.
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
    unprepared: Tensor | None = None
    unprepared_share: float = 0.0
    noticed: Noticed = field(default_factory=Noticed)

    def draw(
        self,
        split: str,
        episodes: int,
        shape: EpisodeShape,
        generator: torch.Generator,
        *,
        augment: bool = False,
    ) -> Episodes:
        """N·C kinds without replacement, K + Q examples of each without replacement; C kinds after
        one another are a class.

        support_x: (E, N·C·K, …) float32, of unequal shots (E, S, …) with the same S for all E;
        labels are new in every episode. augment: wrong support labels, too, where the shape has
        them. Raises ValueError where a split has too few classes with so many examples.
        """
        counts = torch.tensor(self.counts)
        pool = self._pool(split, shape, counts)
        shots = draw_shots(shape, counts[pool], generator)
        most = int(shots.max())
        size = (episodes, shape.all_kinds, most + shape.query)
        drawn = self._examples(pool, counts, size, generator, augment=augment)
        drawn = self._varied(drawn, generator, augment=augment)
        y = torch.arange(shape.way).repeat_interleave(shape.kinds)  # (N·C,)
        support_x = drawn[:, :, :most].flatten(1, 2)
        if shape.unequal:
            given = torch.arange(most).repeat(len(shots)) < shots.repeat_interleave(most)
            support_x = support_x[:, given]
        support_y = y.repeat_interleave(shots).repeat(episodes, 1)
        if augment and shape.label_noise:
            support_y = mislabel(support_y, shape.way, shape.label_noise, generator)
        return Episodes(
            support_x=support_x,
            support_y=support_y,
            query_x=drawn[:, :, most:].flatten(1, 2),
            query_y=y.repeat_interleave(shape.query).repeat(episodes, 1),
            outputs=shape.way,
        )

    def describe(self) -> dict[str, object]:
        test_classes = [self.names[index] for index in self.splits["test"]]
        return {"name": self.name, "digest": self.digest, "test_classes": test_classes}

    def contents(self, split: str) -> dict[str, str]:
        """A digest of the examples of each of the split's classes, by its name."""
        parts = np.split(self.examples.numpy(), np.cumsum(self.counts)[:-1])
        return {self.names[c]: content_of(parts[c]) for c in self.splits[split]}

    def supply(self) -> Supply:
        """What there is to draw from."""
        counts = {
            split: tuple(self.counts[index] for index in members)
            for split, members in self.splits.items()
        }
        shape = tuple(self.examples.shape[1:])
        return Supply(input_shape=shape, counts=counts, noticed=self.noticed)

    def _pool(self, split: str, shape: EpisodeShape, counts: Tensor) -> Tensor:
        """The classes that can be drawn, N·C or more, int64."""
        pool = torch.tensor(self.splits[split], dtype=torch.int64)
        pool = pool[counts[pool] >= shape.shot + shape.query]
        if shape.all_kinds > len(pool):
            raise ValueError(
                f"{self.name}: expected at least {shape.all_kinds} {split} classes of "
                f"{shape.shot} + {shape.query} examples or more, got {len(pool)}"
            )
        return pool

    def _varied(self, drawn: Tensor, generator: torch.Generator, *, augment: bool) -> Tensor:
        """(E, N·C, P, …) pictures, each kind as a whole turned and, in training, mirrored."""
        if self.turns:
            turns = torch.randint(4, drawn.shape[:2], generator=generator)
            drawn = turn_pictures(drawn, turns)
        if augment and self.mirror:
            coin = torch.randint(2, drawn.shape[:2], generator=generator)
            drawn = mirror_pictures(drawn, coin.bool())
        if augment and self.distort:
            drawn = distort_pictures(drawn, self.distort, generator, beyond=self.beyond)
        return drawn

    def _examples(
        self,
        pool: Tensor,
        counts: Tensor,
        size: tuple[int, int, int],
        generator: torch.Generator,
        *,
        augment: bool,
    ) -> Tensor:
        """(*size, …) float32: episodes, classes of the pool in each, examples of each of these."""
        episodes, kinds, each = size
        order = torch.rand(episodes, len(pool), generator=generator).argsort(dim=1)
        classes = pool[order[:, :kinds]]  # (E, kinds)
        tickets = torch.rand(episodes, kinds, int(counts[pool].max()), generator=generator)
        absent = torch.arange(tickets.shape[2]) >= counts[classes][:, :, None]
        members = tickets.masked_fill(absent, 2.0).argsort(dim=2)[:, :, :each]
        first = counts.cumsum(dim=0) - counts
        places = first[classes][:, :, None] + members
        drawn = self.examples[places]
        if augment and self.unprepared is not None:
            shown = torch.rand(size, generator=generator) < self.unprepared_share
            drawn[shown] = self.unprepared[places[shown]]
        return drawn.float() / 255 if drawn.dtype == torch.uint8 else drawn
