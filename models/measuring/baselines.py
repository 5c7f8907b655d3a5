"""What meta-learning is compared with (Finn et al. 2017, section 5): methods that learn nothing
from other tasks, or learn from them without looking ahead to adaptation.

``nearest neighbour`` and ``nearest prototype`` look at the inputs as they are. ``random`` takes
gradient steps from an untrained network, ``pretrained`` from one that was fitted to all tasks at
once (a recipe with no inner step); both get the step size that suits them best in validation.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from models.episodes import EpisodeShape, TaskDistribution
from models.inner_loop import InnerLoop, Learner
from models.measuring.evaluation import Evaluation, evaluate, summarise, trained_protocol
from models.outer_loop import MetaParams

Classifier = Callable[[Tensor, Tensor, Tensor], Tensor]


def nearest_neighbour(x: Tensor, y: Tensor, queries: Tensor) -> Tensor:
    """(Q,) the class of the support example at the least Euclidean distance; x (S, …), y (S,)."""
    return y[torch.cdist(queries.flatten(1), x.flatten(1)).argmin(dim=1)]


def nearest_prototype(x: Tensor, y: Tensor, queries: Tensor) -> Tensor:
    """(Q,) the class whose mean support example is at the least Euclidean distance."""
    members = F.one_hot(y).to(x.dtype)
    prototypes = members.T @ x.flatten(1) / members.sum(dim=0)[:, None]
    return torch.cdist(queries.flatten(1), prototypes).argmin(dim=1)


CLASSIFIERS: dict[str, Classifier] = {
    "nearest neighbour": nearest_neighbour,
    "nearest prototype": nearest_prototype,
}


def evaluate_classifier(
    classify: Classifier,
    distribution: TaskDistribution,
    *,
    split: str,
    shape: EpisodeShape,
    episodes: int,
    seed: int,
) -> Evaluation:
    """The accuracy of a method without parameters, on the episodes that ``evaluate`` draws."""
    generator = torch.Generator().manual_seed(seed)
    scores: list[Tensor] = []
    while len(scores) < episodes:
        drawn = distribution.draw(split, min(20, episodes - len(scores)), shape, generator)
        for e in range(len(drawn)):
            named = classify(drawn.support_x[e], drawn.support_y[e], drawn.query_x[e])
            scores.append((named == drawn.query_y[e]).float().mean())
    return summarise(scores, protocol="one by one", shape=shape, steps=0, seed=seed)


def tune_step_size(
    learner: Learner,
    meta: MetaParams,
    recipe: InnerLoop,
    distribution: TaskDistribution,
    *,
    candidates: Sequence[float],
    shape: EpisodeShape,
    episodes: int,
    seed: int,
) -> InnerLoop:
    """The recipe with the candidate that scores best in validation; what diverges is never best."""

    def score(size: float) -> float:
        measured = evaluate(
            learner,
            meta,
            replace(recipe, step_size=size),
            distribution,
            split="validation",
            shape=shape,
            episodes=episodes,
            seed=seed,
            protocol=trained_protocol(learner),
        ).mean
        return learner.kind.merit(measured) if math.isfinite(measured) else -math.inf

    return replace(recipe, step_size=max(candidates, key=score))
