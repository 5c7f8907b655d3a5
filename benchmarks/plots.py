"""The plots of the page of performance, from its records alone."""

from pathlib import Path
from typing import Any

from benchmarks.page import PLOTS

ENGINE = ("Fewstep", "plain loop")


def draw_all(figures: list[dict[str, Any]], folder: Path) -> list[Path]:
    """Draws every plot whose figure has rows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    drawing = {
        "adapting": draw_adapting,
        "outer-step": draw_outer_step,
        "service_predict": draw_predicting,
    }
    written = []
    for one in figures:
        if not one["rows"] or one["figure"] not in PLOTS:
            continue
        figure = drawing[one["figure"]](plt, counting(one["rows"]))
        path = folder / PLOTS[one["figure"]]
        figure.tight_layout()
        figure.savefig(path, dpi=110)
        plt.close(figure)
        written.append(path)
    return written


def counting(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the number of threads that counts."""
    return [row for row in rows if row.get("counts", True)]


def draw_adapting(plt: Any, rows: list[dict[str, Any]]) -> Any:
    """Adaptations per second over E, with their quartiles, a panel for each number of shots."""
    shots = sorted({row["shot"] for row in rows})
    figure, axes = plt.subplots(1, len(shots), figsize=(11, 4.2), squeeze=False)
    for place, shot in zip(axes[0], shots, strict=True):
        of_shot = [row for row in rows if row["shot"] == shot]
        for name in dict.fromkeys(row["contender"] for row in of_shot):
            line(place, name, [row for row in of_shot if row["contender"] == name])
        sizes = sorted({row["episodes"] for row in of_shot})
        place.set_xscale("log", base=2)
        place.set_xticks(sizes, [str(size) for size in sizes])
        place.set(title=f"5-way {shot}-shot, 5 steps", xlabel="episodes at once")
        place.set_ylim(bottom=0)
    axes[0][0].set_ylabel("adaptations per second")
    axes[0][0].legend(fontsize=8)
    return figure


def line(place: Any, name: str, rows: list[dict[str, Any]]) -> None:
    rates = [row["per_s"] for row in rows]
    slow = [
        rate - 1e3 * row["episodes"] / row["high_ms"] for rate, row in zip(rates, rows, strict=True)
    ]
    fast = [
        1e3 * row["episodes"] / row["low_ms"] - rate for rate, row in zip(rates, rows, strict=True)
    ]
    spread = [[max(0.0, value) for value in side] for side in (slow, fast)]
    style = "o-" if name in ENGINE else "s--"
    sizes = [row["episodes"] for row in rows]
    place.errorbar(sizes, rates, spread, fmt=style, ms=4, capsize=2, label=name)


def draw_outer_step(plt: Any, rows: list[dict[str, Any]]) -> Any:
    """How many times as long as the engine everybody takes."""
    sizes = list(dict.fromkeys(row["images"] for row in rows))
    figure, axes = plt.subplots(1, len(sizes), figsize=(11, 3.6), squeeze=False, sharey=True)
    for place, images in zip(axes[0], sizes, strict=True):
        bars = [row for row in rows if row["images"] == images][::-1]
        spread = [
            [max(0.0, row["times_ours"] - row["times_ours_low"]) for row in bars],
            [max(0.0, row["times_ours_high"] - row["times_ours"]) for row in bars],
        ]
        colours = ["tab:blue" if row["contender"] == ENGINE[0] else "tab:grey" for row in bars]
        names, ratios = [row["contender"] for row in bars], [row["times_ours"] for row in bars]
        place.barh(names, ratios, xerr=spread, color=colours, capsize=2)
        place.axvline(1, color="black", lw=0.8)
        place.set(title=f"{images} images", xlabel="time, in times of Fewstep's")
    return figure


def draw_predicting(plt: Any, rows: list[dict[str, Any]]) -> Any:
    """Requests per second of the empty route and of predictions in the same server."""
    figure, place = plt.subplots(figsize=(8, 3.2))
    bars = [("an empty route", rows[0], "empty_requests_per_s", "tab:grey")]
    bars += [
        (f"a {row['input']}, {row['service']}", row, "requests_per_s", "tab:blue") for row in rows
    ]
    for name, row, key, colour in bars[::-1]:
        middle, low, high = (row[f"{key}{end}"] for end in ("", "_q1", "_q3"))
        spread = [[max(0.0, middle - low)], [max(0.0, high - middle)]]
        place.barh([name], [middle], xerr=spread, color=colour, capsize=2)
    place.set(xlabel="requests per second, ten clients", title="GET /predict, warm")
    return figure
