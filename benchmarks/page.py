"""The page of performance, made of its records alone: the table of goals, then every figure."""

from typing import Any

from benchmarks.machine import in_words

TITLE = """# Performance

Written by `make bench`, which runs every figure below as a process of its own; ratios are taken
within one run, round by round, and stand as medians with their quartiles. Where the time goes, what
the limit is and what was tried in vain is on [a page of its own](profile.md).
"""
PLOTS = {
    "adapting": "performance-adapting.png",
    "outer-step": "performance-outer-step.png",
    "service_predict": "performance-predict.png",
}


def render(figures: list[dict[str, Any]]) -> str:
    """The whole page as Markdown; ``figures`` as docs/performance.json keeps them."""
    parts = [TITLE, table(figures), *(details(figure) for figure in figures)]
    return "\n".join(parts)


def table(figures: list[dict[str, Any]]) -> str:
    lines = ["| figure | goal | measured | reached |", "|---|---|---|---|"]
    for one in figures:
        cells = (one["title"], one["goal"], one["headline"], reached(one["reached"]))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def reached(value: bool | None) -> str:
    if value is None:
        return "–"
    return "yes" if value else "no"


def details(figure: dict[str, Any]) -> str:
    """One figure: how to run it again, on what it ran, its plot and its rows."""
    title = figure["title"]
    lines = [f"## {title[0].upper()}{title[1:]}", "", f"`{figure['command']}`", ""]
    lines += [f"{in_words(figure['run'])}", ""]
    if figure["rows"] and figure["figure"] in PLOTS:
        lines += [f"![{title}](images/{PLOTS[figure['figure']]})", ""]
    if not figure["rows"]:
        return "\n".join([*lines, figure["headline"], ""])
    return "\n".join([*lines, rows_table(figure["rows"]), ""])


def rows_table(rows: list[dict[str, Any]]) -> str:
    """Rows of flat values under the union of their keys, in the order of appearance."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"| {' | '.join(key.replace('_', ' ') for key in keys)} |", "|---" * len(keys) + "|"]
    lines += [f"| {' | '.join(cell(row.get(key)) for key in keys)} |" for row in rows]
    return "\n".join(lines)


def cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
