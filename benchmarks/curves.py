"""The checkpoint ``curves``: any curve of about unit scale, by a prior that nobody trained.

    python -m benchmarks.curves [--write]

Its features are powers of x / 2 and its prior is the Gaussian process with the kernel
1 + x x' + (x x')² / 4 + 2 exp(-(x - x')² / (2 · 0.7²)) (Rasmussen and Williams 2006, sections 2.7
and 4.2), brought onto those powers by least squares over [-2, 2]. So the closed form of a
polynomial does what the process would: where there are no points its deviation grows.

Chosen by hand out of a grid by the likelihood of queries of the three families below and by their
errors, so that no rival of five points is ahead by more than its interval in any of them. The noise
is that of the noisiest family: too small a noise is the worse mistake.

Prints the errors beside those of a cubic ridge, of the nearest point and of the shipped sinusoid.
"""

import argparse
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.regression import bayesian, by_steps, measure, plain
from models.episodes import Episodes, EpisodeShape
from models.files.checkpoint import Checkpoint, dump_checkpoint, load_checkpoint
from models.heads.bayesian import BIAS, FACTOR, NOISE, WEIGHT
from models.heads.layer import Head
from models.learner import Learner
from models.measuring.baselines import nearest_neighbour
from models.measuring.rivals import cubic_ridge
from models.meta_training.recipes import read_recipe
from models.networks import build_network
from models.normalisation import Params
from models.outer_loop import MetaParams

CHECKPOINTS = Path(__file__).parents[1] / "models" / "checkpoints"
FAMILIES = ("sines", "quadratics", "lines")
SHOTS = (3, 5, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvesPrior:
    """length: of the exponential kernel; its variance, and those of the slope and of the curvature,
    the constant's being 1; reach: x in [-reach, reach]; steadied: what is added to the variance of
    every weight, for float32 holds no more than seven digits of a factor; noise: a deviation.
    """

    degree: int = 9
    length: float = 0.7
    variance: float = 2.0
    slope: float = 1.0
    curvature: float = 0.25
    reach: float = 2.0
    steadied: float = 1e-3
    noise: float = 0.1

    def kernel(self, x: Tensor, other: Tensor) -> Tensor:
        """(P,) and (R,) places -> (P, R) covariances of the curve's values there."""
        apart, product = (x[:, None] - other) / self.length, x[:, None] * other
        trend = 1 + self.slope * product + self.curvature * product.square()
        return trend + self.variance * torch.exp(-apart.square() / 2)

    def theta(self) -> Params:
        """The head over the powers 1 to ``degree`` of x / reach."""
        x = torch.linspace(-self.reach, self.reach, 201, dtype=torch.float64)
        z = x / self.reach
        inputs = torch.stack([*(z**k for k in range(1, self.degree + 1)), z**0], dim=1)
        onto = torch.linalg.pinv(inputs)
        weights = onto @ self.kernel(x, x) @ onto.T
        weights += self.steadied * torch.eye(self.degree + 1)
        factor = torch.linalg.cholesky(torch.linalg.inv(weights) * self.noise**2)
        return {
            WEIGHT: torch.zeros(1, self.degree),
            BIAS: torch.zeros(1),
            FACTOR: (factor.tril(-1) + factor.diagonal().log().diag()).float(),
            NOISE: torch.tensor([2 * math.log(self.noise)]),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Curves of one family at random x in [-half, half], of about unit scale, with noise.

    sines: amplitude in [0.5, 1.5], frequency in [1, 4], any phase; quadratics and lines: every
    coefficient standard normal. The noise is 0.05, of lines 0.1.
    """

    family: str
    half: float = 1.0
    preprocessing: None = None

    def draw(
        self,
        split: str,
        episodes: int,
        shape: EpisodeShape,
        generator: torch.Generator,
        *,
        augment: bool = False,
    ) -> Episodes:
        """Fresh curves; x: (E, points, 1)."""

        def normal(*sizes: int) -> Tensor:
            return torch.randn(episodes, *sizes, generator=generator)

        def between(low: float, high: float, points: int = 1) -> Tensor:
            return low + (high - low) * torch.rand(episodes, points, generator=generator)

        x = between(-self.half, self.half, shape.shot + shape.query)
        if self.family == "sines":
            y = between(0.5, 1.5) * torch.sin(between(1, 4) * x + between(0, 2 * math.pi))
        else:
            y = normal(1) + normal(1) * x + (self.family == "quadratics") * normal(1) * x**2
        y = y + (0.1 if self.family == "lines" else 0.05) * normal(x.shape[1])
        x, y = x[..., None], y[..., None]
        return Episodes(
            support_x=x[:, : shape.shot],
            support_y=y[:, : shape.shot],
            query_x=x[:, shape.shot :],
            query_y=y[:, shape.shot :],
            outputs=1,
        )

    def describe(self) -> dict[str, object]:
        return {"name": "curves", "family": self.family, "half": self.half}


def curves(prior: CurvesPrior) -> Checkpoint:
    """The checkpoint of a prior."""
    config = {"inputs": 1, "degree": prior.degree, "centre": [0.0], "scale": [prior.reach]}
    learner = Learner(
        network=build_network("polynomial", config),
        head=Head(kind="bayesian", outputs=1),
        task="regression",
    )
    return Checkpoint(
        name="curves",
        learner=learner,
        meta=MetaParams(theta=prior.theta()),
        network="polynomial",
        network_config=config,
        input_shape=(1,),
        preprocessing=None,
        max_way=1,
        inner_loop=read_recipe("series").inner_loop,
        provenance={"command": "python -m benchmarks.curves --write", "prior": asdict(prior)},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="the file in models/checkpoints")
    parser.add_argument("--episodes", type=int, default=1000)
    asked = parser.parse_args()
    file = CHECKPOINTS / "curves.safetensors"
    if asked.write:
        file.write_bytes(dump_checkpoint(curves(CurvesPrior())))
    loaded = load_checkpoint(file.read_bytes())
    sinusoid = load_checkpoint((CHECKPOINTS / "sinusoid.safetensors").read_bytes())
    ways = {
        "curves": bayesian(loaded.learner, loaded.meta.theta),
        "cubic ridge": plain(cubic_ridge),
        "nearest point": plain(nearest_neighbour),
        "sinusoid, 10 steps": by_steps(sinusoid.learner, sinusoid.meta.theta, sinusoid.recipe),
    }
    for half in (1.0, 2.0):
        for family in FAMILIES:
            for shot in SHOTS:
                told = measure(
                    ways, Curves(family=family, half=half), shot=shot, episodes=asked.episodes
                )
                for name, found in told.items():
                    print(f"±{half:.0f}  {family:10}  K = {shot:2}  {name:20} {found.in_units()}")


if __name__ == "__main__":
    main()
