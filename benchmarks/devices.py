"""Devices with a gain, an offset and a curvature of their own, each calibrated by a few points.

    python -m benchmarks.devices [--iterations 3000] [--episodes 2000]

200 devices are trained on (30 of them for validation) and 200 others measured, by a Bayesian
quadratic that is told the right form and takes its prior and noise from the training devices, by a
cubic ridge, and by a Bayesian last layer on powers (prior in closed form, no step) and on the
network of the recipe ``series``, meta-trained as it says.
"""

import argparse
import time
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.regression import Told, Way, bayesian, measure, plain
from models.episodes import Episodes
from models.measuring.rivals import cubic_ridge
from models.meta_training.fitting import fit_recipe
from models.meta_training.recipes import Recipe, read_recipe
from models.meta_training.training import build_learner, start, train
from models.tasks.series import Series

SHOTS = (3, 5, 10)
TRAINED, TESTED, POINTS = 200, 200, 40
OFFSET, GAIN, CURVATURE, NOISE = (0.0, 0.5), (1.0, 0.5), (0.0, 0.4), 0.055  # mean and deviation


def devices(seed: int, *, unit: float = 1.0, shift: float = 0.0) -> Series:
    """y = offset + gain x + curvature x² + noise, x random in [-1, 1]; in other units if asked."""
    generator = torch.Generator().manual_seed(seed)
    count = TRAINED + TESTED

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    mean, deviation = torch.tensor([OFFSET, GAIN, CURVATURE]).T
    weights = mean + deviation * normal(count, 3)
    x = 2 * torch.rand(count, POINTS, 1, generator=generator) - 1
    y = powers(x).float() @ weights[..., None] + NOISE * normal(count, POINTS, 1)
    rows = {"train": (0, 170), "validation": (170, TRAINED), "test": (TRAINED, count)}
    splits = {name: list(range(*bounds)) for name, bounds in rows.items()}
    return Series(x=x, y=y * unit + shift, splits=splits, digest="")


def powers(x: Tensor) -> Tensor:
    """(…, 1) -> (…, 3) float64: 1, x, x²."""
    return torch.cat([torch.ones_like(x), x, x.square()], dim=-1).double()


def bayesian_quadratic(known: Series) -> Way:
    """Mean and covariance of the training devices' least squares, and the noise around them."""
    rows = known.splits["train"] + known.splits["validation"]
    inputs, targets = powers(known.x[rows]), known.y[rows].double()
    weights = torch.linalg.lstsq(inputs, targets).solution
    freedom = len(rows) * (inputs.shape[1] - 3)
    noise = (targets - inputs @ weights).square().sum() / freedom
    precision, mean = torch.linalg.inv(torch.cov(weights[..., 0].T)), weights.mean(dim=0)

    def told(episodes: Episodes) -> Told:
        support, queries = powers(episodes.support_x), powers(episodes.query_x)
        covariance = torch.linalg.inv(precision + support.mT @ support / noise)
        pulled = precision @ mean + support.mT @ episodes.support_y.double() / noise
        spread = (queries @ covariance * queries).sum(dim=-1, keepdim=True)
        return queries @ (covariance @ pulled), (noise + spread).sqrt()

    return told


def trained(recipe: Recipe, known: Series) -> tuple[Way, float]:
    """The way that a recipe gives, the state after its last step, and the seconds it took."""
    fitted, _ = fit_recipe(recipe, known.supply())
    began = time.perf_counter()
    learner = build_learner(fitted)
    state = start(fitted, learner)
    for _ in train(fitted, learner, known, state):
        pass
    theta = {name: tensor.detach() for name, tensor in state.meta.theta.items()}
    return bayesian(learner, theta), time.perf_counter() - began


def with_steps(recipe: Recipe, iterations: int) -> Recipe:
    """The recipe of one stage with so many outer steps."""
    return replace(recipe, stages=(replace(recipe.stages[0], iterations=iterations),))


def on_powers(recipe: Recipe, degree: int = 3) -> Recipe:
    """The prior in closed form alone: one outer step that moves nothing."""
    stage = replace(recipe.stages[0], iterations=1, learning_rate=0.0, final_learning_rate=0.0)
    config = {"degree": degree}
    return replace(recipe, network="polynomial", network_config=config, stages=(stage,))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    recipe = read_recipe("series")
    parser.add_argument("--iterations", type=int, default=recipe.iterations)
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unit", type=float, default=1.0)
    parser.add_argument("--shift", type=float, default=0.0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    known = devices(asked.seed, unit=asked.unit, shift=asked.shift)
    of_powers, _ = trained(on_powers(recipe), known)
    of_network, seconds = trained(with_steps(recipe, asked.iterations), known)
    print(f"{asked.iterations} outer steps of series: {seconds:.0f} s")
    ways = {
        "Bayesian quadratic, prior of the training devices": bayesian_quadratic(known),
        "cubic ridge": plain(cubic_ridge),
        "Bayesian last layer, powers to 3": of_powers,
        "Bayesian last layer, network of series": of_network,
    }
    for shot in SHOTS:
        for name, found in measure(ways, known, shot=shot, episodes=asked.episodes).items():
            print(f"K = {shot:2}  {name:50} {found.in_units(asked.unit)}")


if __name__ == "__main__":
    main()
