"""Recipes of policies: a meta-training run written down, in .toml files of the task ``policy``."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from models.files.text import read_written
from models.policies.advantages import Discounting

TASK: Final = "policy"
FOLDER: Final = Path(__file__).parents[1] / "policies" / "recipes"
Algorithm = Literal["maml", "pretrain"]
Outer = Literal["trpo", "promp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyValidation:
    """Every so many outer steps the returns after each round in so many tasks; the θ is kept whose
    mean over all rounds but the first is the best.
    """

    every: int
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRecipe:
    """environment: its name and options, ``models/environments/opening.py``; step_sizes: of the
    rounds when serving, the first one in training as well; tasks and episodes: of an outer step;
    algorithm: ``maml``, or ``pretrain`` for one policy of all tasks, to compare with; outer: how θ
    moves; learning_rate: of ``promp``.
    """

    name: str
    seed: int
    environment: dict[str, Any]
    network: str
    network_config: dict[str, Any]
    step_sizes: tuple[float, ...]
    iterations: int
    tasks: int
    episodes: int
    gamma: float
    gae_lambda: float
    validation: PolicyValidation
    algorithm: Algorithm = "maml"
    outer: Outer = "trpo"
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.algorithm not in ("maml", "pretrain") or self.outer not in ("trpo", "promp"):
            raise ValueError("expected algorithm maml or pretrain, and outer trpo or promp")
        counts = (self.iterations, self.tasks, self.episodes, self.validation.every)
        if min(counts) < 1 or not self.step_sizes or min(self.step_sizes) <= 0:
            raise ValueError("expected counts of at least 1, and step_sizes above 0")

    def discounting(self, max_episode_steps: int) -> Discounting:
        return Discounting(
            gamma=self.gamma, gae_lambda=self.gae_lambda, max_episode_steps=max_episode_steps
        )


def is_policy(source: Path | str) -> bool:
    """Whether a .toml file, or the shipped one of that name, is a policy's recipe."""
    path = _path_of(source)
    try:
        return path.is_file() and tomllib.loads(read_written(path)).get("task") == TASK
    except tomllib.TOMLDecodeError:
        return False


def read_policy_recipe(source: Path | str) -> PolicyRecipe:
    """Raises FileNotFoundError for an unknown name, ValueError for a file that is not a recipe."""
    path = _path_of(source)
    if not path.is_file():
        shipped = ", ".join(sorted(path.stem for path in FOLDER.glob("*.toml")))
        raise FileNotFoundError(f"no recipe {source} of a policy; shipped ones are {shipped}")
    try:
        table = tomllib.loads(read_written(path))
        if table.pop("task") != TASK:
            raise ValueError(f"{path.name}: expected task = '{TASK}'")
        network = table.pop("network")
        return PolicyRecipe(
            **table
            | {
                "network": network.pop("name"),
                "network_config": network,
                "step_sizes": tuple(table["step_sizes"]),
                "validation": PolicyValidation(**table["validation"]),
            }
        )
    except (KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path.name} is not a recipe of a policy: {error}") from error


def _path_of(source: Path | str) -> Path:
    return source if isinstance(source, Path) else FOLDER / f"{source}.toml"
