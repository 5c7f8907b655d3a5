"""What a few-shot task is made of: E episodes of support and query examples, stacked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What is adapted on, or judged: named arrays of S examples, and which of the examples count.

    arrays: each (E, S, …). ``x`` is what the network takes; the others are the kind of task's own,
    ``y`` the targets of labelled examples. mask: (E, S) bool, True where an example counts, at
    least once in each episode; None: all count. Of one episode they may stand without E.
    """

    arrays: dict[str, Tensor]
    mask: Tensor | None = None

    def __getitem__(self, name: str) -> Tensor:
        return self.arrays[name]

    @property
    def x(self) -> Tensor:
        """(E, S, …) float32."""
        return self.arrays["x"]

    def cleared(self) -> "Examples":
        """The same with zeros where an example does not count, whatever stood there before."""
        if self.mask is None:
            return self
        mask = self.mask
        arrays = {
            name: torch.where(mask[(...,) + (None,) * (array.dim() - mask.dim())], array, 0)
            for name, array in self.arrays.items()
        }
        return Examples(arrays=arrays, mask=mask)

    def each(self, change: Callable[[Tensor], Tensor]) -> "Examples":
        """The same change made to every array and to the mask."""
        arrays = {name: change(array) for name, array in self.arrays.items()}
        return Examples(arrays=arrays, mask=None if self.mask is None else change(self.mask))


def labelled(x: Tensor, y: Tensor) -> Examples:
    """Examples of inputs and their targets, all of which count."""
    return Examples(arrays={"x": x, "y": y})


@dataclass(frozen=True, slots=True, kw_only=True)
class Episodes:
    """E episodes drawn from one task distribution.

    support_x: (E, S, …) float32; support_y: (E, S) int64 or (E, S, outputs) float32; query_x and
    query_y alike with Q; outputs: classes, or values per example. Support and query never overlap.
    """

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor
    outputs: int

    def __len__(self) -> int:
        return len(self.support_x)

    @property
    def support(self) -> Examples:
        """The examples to adapt on."""
        return labelled(self.support_x, self.support_y)

    @property
    def query(self) -> Examples:
        """The examples to predict."""
        return labelled(self.query_x, self.query_y)

    def part(self, start: int, stop: int) -> "Episodes":
        """Episodes start to stop."""
        cut = slice(start, stop)
        return Episodes(
            support_x=self.support_x[cut],
            support_y=self.support_y[cut],
            query_x=self.query_x[cut],
            query_y=self.query_y[cut],
            outputs=self.outputs,
        )

    def to(self, device: torch.device) -> "Episodes":
        """The same episodes on that device."""
        return Episodes(
            support_x=self.support_x.to(device),
            support_y=self.support_y.to(device),
            query_x=self.query_x.to(device),
            query_y=self.query_y.to(device),
            outputs=self.outputs,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeShape:
    """way N (1 for regression), shot K and queries per class.

    What users bring is less tidy; these say so, of labelled examples alone. kinds C: each class is
    the union of C classes of the data, its kinds ("team A / team B"); shot and query count the
    examples of each kind. unequal: the classes differ in their shots, whose mean is K. label_noise:
    the share of support labels that training draws wrong.
    """

    way: int
    shot: int
    query: int
    kinds: int = 1
    unequal: bool = False
    label_noise: float = 0.0

    @property
    def all_kinds(self) -> int:
        """N·C, the classes of the data that one episode takes."""
        return self.way * self.kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """What was seen of a data set's training split.

    centre and scale: mean and deviation of each number of an input, where they were asked for.
    settings: what a recipe's table of the distribution left open; said: a sentence about each.
    """

    centre: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """What a data set can give: the shape of an input, and how much there is to draw from.

    counts: by split, the examples of each class, or the points of each task of a regression;
    outputs: values per point of a regression, 0 for classes.
    """

    input_shape: tuple[int, ...]
    counts: dict[str, tuple[int, ...]]
    outputs: int = 0
    noticed: Noticed = Noticed()


@runtime_checkable
class Supplying(Protocol):
    """A distribution over a data set with an end, which says how far it goes."""

    def supply(self) -> Supply: ...


@runtime_checkable
class Recalling(Protocol):
    """A distribution whose classes (or tasks) can be known again in other data."""

    def contents(self, split: str) -> dict[str, str]:
        """A digest of the examples of each of the split's classes, by its name."""
        ...


class TaskDistribution(Protocol):
    """p(T): draws episodes; the same generator state gives the same episodes.

    preprocessing: how a picture becomes an input, ``models/pictures/inputs.py``, or a table's row;
    None for numbers.
    """

    @property
    def preprocessing(self) -> dict[str, Any] | None: ...

    def draw(
        self,
        split: str,
        episodes: int,
        shape: EpisodeShape,
        generator: torch.Generator,
        *,
        augment: bool = False,
    ) -> Episodes:
        """Episodes of the split ``train``, ``validation`` or ``test``; ``augment``: with what
        training adds to them.
        """
        ...

    def describe(self) -> dict[str, object]:
        """What a checkpoint records of its data: name, digest, test classes."""
        ...
