"""Ways to predict values from a few points, measured on the same episodes.

A way gives the mean of every query, and where it knows one a standard deviation, of which is told
how often an interval of 90 % holds the value that was measured.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.episodes import Episodes, EpisodeShape, TaskDistribution
from models.heads.bayesian import predictive
from models.inner_loop import adapt_episodes
from models.learner import InnerLoop, Learner, predict_episodes
from models.measuring.baselines import Method
from models.measuring.evaluation import draw_episodes
from models.meta_training.bayesian import posterior_of
from models.normalisation import Params

NINETY = 1.6448536  # deviations to either side
QUERIES, SEED = 20, 7

Told = tuple[Tensor, Tensor | None]
Way = Callable[[Episodes], Told]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """error, ci95: mean squared error with half its interval; coverage: of the 90 % intervals."""

    error: float
    ci95: float
    coverage: float | None

    def in_units(self, unit: float = 1.0) -> str:
        """In words, of values that are measured in this unit."""
        covered = "" if self.coverage is None else f", {self.coverage:.1%} covered"
        return f"{self.error / unit**2:.4f} ± {self.ci95 / unit**2:.4f}{covered}"


def bayesian(learner: Learner, theta: Params) -> Way:
    """The posterior of a Bayesian head."""

    def told(episodes: Episodes) -> Told:
        with torch.no_grad():
            return predictive(*posterior_of(learner, theta, episodes))

    return told


def by_steps(learner: Learner, theta: Params, recipe: InnerLoop) -> Way:
    """Gradient steps."""

    def told(episodes: Episodes) -> Told:
        adapted = adapt_episodes(learner, theta, episodes.support, recipe, outputs=1)
        mean = predict_episodes(learner, adapted.params, adapted.statistics, episodes.query_x)
        return mean, None

    return told


def plain(method: Method) -> Way:
    """A method of models/measuring, episode by episode."""

    def told(episodes: Episodes) -> Told:
        triples = zip(episodes.support_x, episodes.support_y, episodes.query_x, strict=True)
        return torch.stack([method(*triple) for triple in triples]), None

    return told


def measure(
    ways: Mapping[str, Way], distribution: TaskDistribution, *, shot: int, episodes: int
) -> dict[str, Measured]:
    """Every way on the same test episodes."""
    shape = EpisodeShape(way=1, shot=shot, query=QUERIES)
    errors: dict[str, list[Tensor]] = {name: [] for name in ways}
    inside: dict[str, list[Tensor]] = {name: [] for name in ways}
    for drawn in draw_episodes(
        distribution, split="test", shape=shape, episodes=episodes, seed=SEED, chunk=100
    ):
        for name, way in ways.items():
            mean, deviation = way(drawn)
            apart = (mean - drawn.query_y).abs()
            errors[name].append(apart.square().mean(dim=(1, 2)))
            if deviation is not None:
                inside[name].append((apart < NINETY * deviation).double().mean(dim=(1, 2)))
    return {name: _summarised(errors[name], inside[name]) for name in ways}


def _summarised(errors: list[Tensor], inside: list[Tensor]) -> Measured:
    each = torch.cat(errors).double()
    return Measured(
        error=each.mean().item(),
        ci95=1.96 * each.std(correction=0).item() / len(each) ** 0.5,
        coverage=torch.cat(inside).mean().item() if inside else None,
    )
