"""What a figure module says on stdout of what it measured: one JSON document, or a list."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row of the table of figures.

    reached: whether the goal is; None where there is no goal or nothing was measured. headline: the
    number in words, or ``not measured: `` and why. rows: flat values, one row per measured case.
    """

    figure: str
    title: str
    goal: str
    command: str
    headline: str
    reached: bool | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)


def print_figures(figures: Sequence[Figure]) -> None:
    """The one document, or the list."""
    documents = [asdict(figure) for figure in figures]
    sys.stdout.write(json.dumps(documents[0] if len(documents) == 1 else documents) + "\n")
