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

from models.episodes import Episodes, EpisodeShape, TaskDistribution
from models.learner import InnerLoop, Learner
from models.measuring.evaluation import (
    Evaluation,
    draw_episodes,
    evaluate,
    summarise,
    trained_protocol,
)
from models.outer_loop import MetaParams

Method = Callable[[Tensor, Tensor, Tensor], Tensor]


def nearest_neighbour(x: Tensor, y: Tensor, queries: Tensor) -> Tensor:
    """(Q, …) the target of the support example at the least Euclidean distance; x, y: (S, …)."""
    return y[torch.cdist(queries.flatten(1), x.flatten(1)).argmin(dim=1)]


def nearest_prototype(x: Tensor, y: Tensor, queries: Tensor) -> Tensor:
    """(Q,) the class whose mean support example is at the least Euclidean distance."""
    members = F.one_hot(y).to(x.dtype)
    prototypes = members.T @ x.flatten(1) / members.sum(dim=0)[:, None]
    return torch.cdist(queries.flatten(1), prototypes).argmin(dim=1)


CLASSIFIERS: dict[str, Method] = {
    "nearest neighbour": nearest_neighbour,
    "nearest prototype": nearest_prototype,
}


def evaluate_classifier(
    classify: Method,
    distribution: TaskDistribution,
    *,
    split: str,
    shape: EpisodeShape,
    episodes: int,
    seed: int,
) -> Evaluation:
    """The accuracy of a method without parameters, on the episodes that ``evaluate`` draws."""
    asked = draw_episodes(distribution, split=split, shape=shape, episodes=episodes, seed=seed)
    scores = [score for drawn in asked for score in score_method(classify, drawn)]
    return summarise(scores, protocol="one by one", shape=shape, steps=0, seed=seed)


def score_method(method: Method, drawn: Episodes) -> list[Tensor]:
    """The score of a method on each episode: the share of right classes, or where targets are
    values the mean squared error.
    """
    scores = []
    for e in range(len(drawn)):
        told = method(drawn.support_x[e], drawn.support_y[e], drawn.query_x[e])
        y = drawn.query_y[e]
        each = (told - y).square() if y.is_floating_point() else (told == y).float()
        scores.append(each.mean())
    return scores


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
