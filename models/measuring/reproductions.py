"""What is measured of every published experiment and shipped checkpoint: ``reproductions.toml``."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from models.episodes import EpisodeShape
from models.learner import Adapts
from models.measuring.evaluation import Protocol

FILE = Path(__file__).parent / "reproductions.toml"
Group = Literal["paper", "shipped", "baseline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number to be measured, and beside it what was published or is aimed at.

    adapts: ``models.learner.Adapts``; kinds: how many characters make a class.
    """

    protocol: Protocol
    way: int
    shot: int
    query: int
    steps: int
    adapts: Adapts = "all"
    kinds: int = 1
    paper: str | None = None
    best: str | None = None
    goal: str | None = None

    @property
    def shape(self) -> EpisodeShape:
        return EpisodeShape(way=self.way, shot=self.shot, query=self.query, kinds=self.kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One experiment. recipe: what trains it; checkpoint: the stem of its committed file.

    untrained: measured at the recipe's random start. tuned: with the step size that validation
    chooses. classifier: a method of ``models/measuring/baselines.py`` in place of a network.
    not_measured: why there is no number.
    """

    name: str
    title: str
    group: Group
    measures: tuple[Measure, ...]
    recipe: str | None = None
    untrained: bool = False
    tuned: bool = False
    classifier: str | None = None
    not_measured: str | None = None

    @property
    def checkpoint(self) -> str | None:
        trained = self.recipe is not None and not (self.untrained or self.classifier)
        return self.recipe if trained else None


def read_rows() -> list[Row]:
    """Every row, in the order of the file."""
    return [_row(table) for table in tomllib.loads(FILE.read_text())["rows"]]


def find_row(name: str) -> Row:
    """The row of this name; of two that share it, the paper's recipe has ``paper/`` before it.

    Raises ValueError for an unknown name.
    """
    rows = {row.name: row for row in read_rows()}
    if name not in rows:
        raise ValueError(f"no experiment {name!r}; there are {', '.join(rows)}")
    return rows[name]


def _row(table: dict[str, Any]) -> Row:
    measures = tuple(Measure(**measure) for measure in table["measures"])
    return Row(**table | {"measures": measures})
