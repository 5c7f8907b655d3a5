"""Recipes: a meta-training run written down, as the .toml files in ``models/recipes``.

Everything that decides the result is here; where data lie and how fast the machine is are not.
"""

import sys
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch

from models.episodes import EpisodeShape
from models.files.served_loop import ServedInnerLoop
from models.files.text import read_written
from models.heads.layer import Head
from models.learner import Adapts

Algorithm = Literal["maml", "prototypes", "bayesian"]
Bounds = int | tuple[int, int]

FOLDER = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """One sort of episodes among those of a stage, whose words these are; drawn for an outer step
    with the probability of its share in the sum of all shares.
    """

    share: float
    way: Bounds
    shot: Bounds
    kinds: Bounds = 1
    unequal: bool = False
    label_noise: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of a run with one setting; the learning rate falls by a half cosine to its final
    value.

    algorithm: ``maml``, the outer loop, with ``inner_steps`` in training; ``prototypes``,
    prototypical pretraining; or ``bayesian``, for a Bayesian head. episodes: per outer step; chunk:
    the most that are stacked at once; way, shot and kinds: a number, or [least, most], drawn for
    every outer step; they and unequal and label_noise are ``EpisodeShape``'s. most_kinds: the most
    that way times kinds may be, way is drawn no larger. mixture: sorts of episodes, one drawn for
    every outer step, instead of the stage's own. head_scale: of a prototype head in this stage,
    where it differs from the served one. multi_step_loss: over how many outer steps the multi-step
    loss fades (0: none). clip: of the meta-gradient's elements. adapts: what the inner steps of
    this stage move, where that is not what is served; guarded: they are taken back where they raise
    the support loss, as in serving, and differentiated through as they were taken.

    Raises ValueError for a share, rate or number of kinds that cannot be, and where prototypical
    pretraining, which takes every example as its class's prototype, is asked for untidy episodes.
    """

    iterations: int
    episodes: int
    way: Bounds
    shot: Bounds
    query: int
    inner_steps: int
    learning_rate: float
    final_learning_rate: float
    algorithm: Algorithm = "maml"
    chunk: int = 8
    first_order: bool = False
    head_scale: float | None = None
    multi_step_loss: int = 0
    clip: float | None = None
    adapts: Adapts | None = None
    guarded: bool = False
    kinds: Bounds = 1
    unequal: bool = False
    label_noise: float = 0.0
    most_kinds: int | None = None
    mixture: tuple[Mixed, ...] = ()

    def __post_init__(self) -> None:
        for sort in self.sorts:
            _check(sort, self.most_kinds)
        if self.algorithm == "prototypes" and any(_untidy(sort) for sort in self.sorts):
            raise ValueError(
                "a stage of prototypes: expected kinds = 1, equal shots and no label_noise"
            )

    @property
    def sorts(self) -> "tuple[Stage | Mixed, ...]":
        """The sorts of episodes that are drawn: the mixture's, or the stage's own."""
        return self.mixture or (self,)

    def shape(self, generator: torch.Generator) -> EpisodeShape:
        """The shape of one outer step's episodes."""
        sort = self._sort(generator)
        kinds = _drawn(sort.kinds, generator)
        most = self.most_kinds // kinds if self.most_kinds else sys.maxsize
        way = _drawn(sort.way, generator, most=most)
        return EpisodeShape(
            way=way,
            shot=_drawn(sort.shot, generator),
            query=self.query,
            kinds=kinds,
            unequal=sort.unequal,
            label_noise=sort.label_noise,
        )

    def _sort(self, generator: torch.Generator) -> "Stage | Mixed":
        if not self.mixture:
            return self
        shares = torch.tensor([sort.share for sort in self.mixture], dtype=torch.float64)
        return self.mixture[int(torch.multinomial(shares, 1, generator=generator))]

    @property
    def largest(self) -> EpisodeShape:
        """The shape of the largest episodes that are drawn."""
        both = (self.way, self.shot)
        way, shot = (bounds if isinstance(bounds, int) else bounds[1] for bounds in both)
        return EpisodeShape(way=way, shot=shot, query=self.query)


def _check(sort: Stage | Mixed, most_kinds: int | None) -> None:
    least, most = (sort.kinds, sort.kinds) if isinstance(sort.kinds, int) else sort.kinds
    if not 1 <= least <= most:
        raise ValueError(f"kinds: expected 1 or more, or [least, most], got {sort.kinds}")
    if most_kinds is not None and most_kinds < 2 * most:
        raise ValueError(
            f"most_kinds: expected room for two classes of {most} kinds, got {most_kinds}"
        )
    if not 0 <= sort.label_noise < 1:
        raise ValueError(f"label_noise: expected a share from 0 to below 1, got {sort.label_noise}")
    if isinstance(sort, Mixed) and not sort.share > 0:
        raise ValueError(f"share: expected more than 0, got {sort.share}")


def _untidy(sort: Stage | Mixed) -> bool:
    return sort.kinds not in (1, (1, 1)) or sort.unequal or sort.label_noise > 0


def _drawn(bounds: Bounds, generator: torch.Generator, *, most: int = sys.maxsize) -> int:
    """A number within the bounds, and at most ``most``; one number draws nothing."""
    if isinstance(bounds, int):
        return min(bounds, most)
    low, high = (min(bound, most) for bound in bounds)
    return int(torch.randint(low, high + 1, (), generator=generator))


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialisation:
    """Standard deviations of a normal start for weights, where a paper asks for one; biases are 0.

    body: truncated at two deviations; head: not.
    """

    body: float | None = None
    head: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """How a run is judged while it lasts: every so many outer steps, on episodes of this shape.

    chooses: in the end the served inner loop, too, ``models/meta_training/choosing.py``.
    """

    every: int
    episodes: int
    way: int
    shot: int
    query: int
    kinds: int = 1
    chooses: bool = False

    @property
    def shape(self) -> EpisodeShape:
        return EpisodeShape(way=self.way, shot=self.shot, query=self.query, kinds=self.kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A meta-training run: task distribution, network, head, inner loop, stages, validation,
    seed.

    input_shape: () where the data decide, ``models/meta_training/fitting.py``.
    start: the checkpoint whose θ the run begins with, by name; else it is drawn from the seed.
    """

    name: str
    task: str
    seed: int
    distribution: dict[str, Any]
    network: str
    network_config: dict[str, Any]
    input_shape: tuple[int, ...]
    head: Head
    max_way: int
    inner_loop: ServedInnerLoop
    stages: tuple[Stage, ...]
    validation: Validation
    initialisation: Initialisation = Initialisation()
    start: str | None = None

    @property
    def iterations(self) -> int:
        return sum(stage.iterations for stage in self.stages)

    def stage_at(self, iteration: int) -> tuple[Stage, int]:
        """The stage of this outer step (from 0), and the step's number within it."""
        for stage in self.stages:
            if iteration < stage.iterations:
                return stage, iteration
            iteration -= stage.iterations
        raise ValueError("iteration beyond the last stage")


def read_recipe(source: Path | str) -> Recipe:
    """The recipe in a .toml file, or the shipped one of that name.

    Raises FileNotFoundError for an unknown name, ValueError for a file that is not a recipe.
    """
    path = source if isinstance(source, Path) else FOLDER / f"{source}.toml"
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in FOLDER.glob("*.toml")))
        raise FileNotFoundError(f"no recipe {source}; shipped ones are {shipped}")
    try:
        return _recipe(tomllib.loads(read_written(path)))
    except (KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path.name} is not a recipe: {error}") from error


def _recipe(table: dict[str, Any]) -> Recipe:
    return Recipe(
        name=table["name"],
        task=table["task"],
        seed=table["seed"],
        distribution=table["distribution"],
        network=table["network"]["name"],
        network_config={k: v for k, v in table["network"].items() if k != "name"},
        input_shape=tuple(table.get("input_shape", ())),
        head=Head(**table["head"]),
        max_way=table.get("max_way", 1),
        inner_loop=ServedInnerLoop(**table["inner_loop"]),
        stages=tuple(_stage(stage) for stage in table["stages"]),
        validation=Validation(**table["validation"]),
        initialisation=Initialisation(**table.get("initialisation", {})),
        start=table.get("start"),
    )


def _stage(table: dict[str, Any]) -> Stage:
    """A stage; what a table of its mixture leaves out is the stage's."""
    usual = {k: table[k] for k in table.keys() & {f.name for f in fields(Mixed)}}
    mixture = tuple(Mixed(**_with_bounds(usual | sort)) for sort in table.get("mixture", ()))
    return Stage(**_with_bounds(table) | {"mixture": mixture})


def _with_bounds(table: dict[str, Any]) -> dict[str, Any]:
    ranges = ("way", "shot", "kinds")
    return {k: tuple(v) if k in ranges and isinstance(v, list) else v for k, v in table.items()}
