"""Recipes: a meta-training run written down, as the .toml files in ``models/recipes``.

Everything that decides the result is here; where data lie and how fast the machine is are not.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from models.episodes import EpisodeShape
from models.files.served_loop import ServedInnerLoop
from models.heads import Head

Algorithm = Literal["maml", "prototypes"]

FOLDER = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of a run with one setting; the learning rate falls by a half cosine to its final
    value.

    algorithm: ``maml``, the outer loop, with ``inner_steps`` in training; or ``prototypes``,
    prototypical pretraining. episodes: per outer step; chunk: the most that are stacked at once;
    way and shot: a number, or [least, most], drawn for every outer step. head_scale: of a prototype
    head in this stage, where it differs from the served one. multi_step_loss: over how many outer
    steps the multi-step loss fades (0: none). clip: of the meta-gradient's elements.
    """

    iterations: int
    episodes: int
    way: int | tuple[int, int]
    shot: int | tuple[int, int]
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

    def shape(self, generator: torch.Generator) -> EpisodeShape:
        """The shape of one outer step's episodes."""
        way, shot = (_drawn(bounds, generator) for bounds in (self.way, self.shot))
        return EpisodeShape(way=way, shot=shot, query=self.query)


def _drawn(bounds: int | tuple[int, int], generator: torch.Generator) -> int:
    if isinstance(bounds, int):
        return bounds
    least, most = bounds
    return int(torch.randint(least, most + 1, (), generator=generator))


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialisation:
    """Standard deviations of a normal start for weights, where a paper asks for one; biases are 0.

    body: truncated at two deviations; head: not.
    """

    body: float | None = None
    head: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """How a run is judged while it lasts: every so many outer steps, on episodes of this shape."""

    every: int
    episodes: int
    way: int
    shot: int
    query: int

    @property
    def shape(self) -> EpisodeShape:
        return EpisodeShape(way=self.way, shot=self.shot, query=self.query)


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
        return _recipe(tomllib.loads(path.read_text()))
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
    ranges = {k: tuple(v) for k, v in table.items() if k in ("way", "shot") and isinstance(v, list)}
    return Stage(**table | ranges)
