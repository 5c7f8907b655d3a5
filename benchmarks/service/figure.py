"""One figure as JSON: what was measured, against what, and whether the goal is reached."""

import argparse
import json
import signal
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """reached None: not measured, or no goal."""

    figure: str
    title: str
    goal: str
    reached: bool | None
    headline: str
    rows: list[Row]
    command: str


def main(name: str, measure: Callable[[bool], Figure]) -> None:
    """Measures, and writes the figure to stdout; --short takes some seconds and no more."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--short", action="store_true", help="Some seconds, for a smoke test.")
    short = parser.parse_args().short
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended then, too
    json.dump(asdict(measure(short)), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def command(name: str, short: bool) -> str:
    """What a person types to have the figure again."""
    return f"python -m benchmarks.{name}{' --short' if short else ''}"


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def quartiles(values: Sequence[float], *, scale: float = 1, digits: int = 3) -> list[float]:
    """Lower quartile, median and upper quartile, times the scale."""
    if len(values) == 1:
        return [round(values[0] * scale, digits)] * 3
    cut = statistics.quantiles(values, n=4, method="inclusive")
    return [round(one * scale, digits) for one in cut]


def spread(name: str, values: Sequence[float], *, scale: float = 1, digits: int = 3) -> Row:
    """``name``, ``name_q1`` and ``name_q3``: median and quartiles as columns of a row."""
    low, middle, high = quartiles(values, scale=scale, digits=digits)
    return {name: middle, f"{name}_q1": low, f"{name}_q3": high}


def all_reached(rows: Sequence[Row]) -> bool | None:
    """Whether every row that was measured reached its goal; None where none was."""
    known = [row["reached"] for row in rows if row.get("reached") is not None]
    return all(known) if known else None


def not_measured(kind: str, why: Exception) -> Row:
    """A row that says why it holds no number."""
    return {"service": kind, "not_measured": str(why), "reached": None}
