"""The picture of a training run: its log as a curve."""

import math
from pathlib import Path

from app.trainings.records import read_records


def draw_curve(folder: Path) -> None:
    """Draws ``curve.png`` beside ``log.jsonl``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    records = read_records(folder)
    judged = [r for r in records if r["validation"] is not None]
    measured = [(r["iteration"], r["validation"]) for r in judged if math.isfinite(r["validation"])]
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot(
        [r["iteration"] for r in records], _smooth([r["score"] for r in records]), label="training"
    )
    axes.plot(*zip(*measured, strict=True), "o-", label="validation") if measured else None
    axes.set(xlabel="outer step", ylabel="score of the queries")
    axes.legend()
    figure.tight_layout()
    figure.savefig(folder / "curve.png", dpi=120)
    plt.close(figure)


def _smooth(values: list[float], share: float = 0.98) -> list[float]:
    smooth: list[float] = []
    for value in values:
        smooth.append(value if not smooth else share * smooth[-1] + (1 - share) * value)
    return smooth
