"""Adapts to five noisy points of one sine, and draws the curve before, after 1 and after 10 steps.

python examples/adapt_sine.py [--url URL] [--seed 4] [--out runs/examples/sine.png]
"""

from dataclasses import dataclass
from pathlib import Path

import httpx
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from service import adapt, connect, parser, send

mpl.use("Agg")
from matplotlib import pyplot as plt  # the backend has to be chosen first

Numbers = NDArray[np.float64]

POINTS = 5
NOISE = 0.1
STEPS = {0: "#8c959f", 1: "#bc4c00", 10: "#0969da"}  # steps -> colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Sine:
    """One curve of the family that the checkpoint was meta-trained on."""

    amplitude: float
    phase: float

    def __call__(self, x: Numbers) -> Numbers:
        return np.asarray(self.amplitude * np.sin(x - self.phase))


def draw_sine(rng: np.random.Generator) -> Sine:
    """A sine with its amplitude in [0.1, 5] and its phase in [0, pi]."""
    return Sine(amplitude=rng.uniform(0.1, 5), phase=rng.uniform(0, np.pi))


def curve_after(
    steps: int, support: tuple[Numbers, Numbers], grid: Numbers, service: httpx.Client
) -> Numbers:
    """The predictions on ``grid`` after so many inner steps on ``support`` (x, y)."""
    x, y = support
    request = {
        "checkpoint": "sinusoid",
        "support": {"inputs": x.tolist(), "targets": y.tolist()},
        "steps": steps,
        "name": f"sine, {steps} steps",
    }
    body = {"adaptation": adapt(service, request)["id"], "inputs": grid.tolist()}
    predictions = send(service, "POST", "/predict", json=body)["predictions"]
    return np.array([prediction["value"][0] for prediction in predictions])


def plot(
    sine: Sine,
    support: tuple[Numbers, Numbers],
    grid: Numbers,
    curves: dict[int, Numbers],
    out: Path,
) -> None:
    """The truth, the support points and one curve per number of steps."""
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    axes.plot(grid, sine(grid), color="#1a7f37", linewidth=5, alpha=0.35, label="truth")
    for steps, curve in curves.items():
        label = "before" if steps == 0 else f"after {steps} step{'s' if steps > 1 else ''}"
        axes.plot(grid, curve, color=STEPS[steps], label=label, zorder=2 + steps)
    axes.scatter(*support, s=70, marker="^", color="#8250df", label="support points", zorder=20)
    axes.set(xlabel="x", ylabel="y", xlim=(grid[0], grid[-1]))
    axes.set_title(f"y = {sine.amplitude:.2f} sin(x - {sine.phase:.2f}) from {POINTS} points")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=9)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)


def main() -> None:
    options = parser(__doc__, out="runs/examples/sine.png")
    options.add_argument("--seed", type=int, default=4, help="another seed, another sine")
    arguments = options.parse_args()
    rng = np.random.default_rng(arguments.seed)
    sine = draw_sine(rng)
    x = np.sort(rng.uniform(-5, 5, POINTS))
    support = (x, sine(x) + rng.normal(0, NOISE, POINTS))
    grid = np.linspace(-5, 5, 201)
    with connect(arguments.url) as service:
        curves = {steps: curve_after(steps, support, grid, service) for steps in STEPS}
    print(f"{'steps':>5}{'mean squared error':>22}")
    for steps, curve in curves.items():
        print(f"{steps:>5}{np.mean((curve - sine(grid)) ** 2):>22.3f}")
    plot(sine, support, grid, curves, Path(arguments.out))
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
