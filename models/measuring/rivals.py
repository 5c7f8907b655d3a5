"""What a checkpoint has to beat: the simplest methods on the very episodes that it is measured on.

They have no parameters and learn nothing from other tasks: whoever trains a checkpoint should know
where one of them does as well.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from models.episodes import EpisodeShape, TaskDistribution
from models.learner import InnerLoop, Learner
from models.measuring.baselines import (
    Method,
    nearest_neighbour,
    nearest_prototype,
    score_method,
)
from models.measuring.evaluation import Evaluation, Protocol, draw_episodes, evaluate, summarise
from models.outer_loop import MetaParams

UNADAPTED = "no inner step"
RIDGE = 1e-3


def mean_value(x: Tensor, y: Tensor, queries: Tensor) -> Tensor:
    """(Q, outputs): the mean of the support's values y (S, outputs)."""
    return y.mean(dim=0).expand(len(queries), *y.shape[1:])


def cubic_ridge(x: Tensor, y: Tensor, queries: Tensor) -> Tensor:
    """(Q, outputs): a polynomial of the third degree in each input, by ridge regression on the
    support, its constant not held back; the same in any units of an input.
    """
    start = x.flatten(1).double()
    origin = start.mean(dim=0)
    scale = (start - origin).abs().amax(dim=0).clamp(min=1e-12)

    def powers(inputs: Tensor) -> Tensor:
        flat = (inputs.flatten(1).double() - origin) / scale
        return torch.cat([flat, flat.square(), flat**3], dim=1)

    features, centre, middle = powers(x), powers(x).mean(dim=0), y.double().mean(dim=0)
    centred = features - centre
    gram = centred @ centred.T + RIDGE * torch.eye(len(x), dtype=torch.float64, device=x.device)
    weights: Tensor = centred.T @ torch.linalg.solve(gram, y.double() - middle)
    return ((powers(queries) - centre) @ weights + middle).to(y.dtype)


OF_CLASSES: Mapping[str, Method] = {
    "class means of the inputs": nearest_prototype,
    "nearest input": nearest_neighbour,
}
OF_VALUES: Mapping[str, Method] = {
    "mean of the support": mean_value,
    "nearest input": nearest_neighbour,
    "cubic ridge": cubic_ridge,
}


def evaluate_rivals(
    learner: Learner,
    meta: MetaParams,
    recipe: InnerLoop,
    distribution: TaskDistribution,
    *,
    split: str,
    shape: EpisodeShape,
    episodes: int,
    seed: int,
    protocol: Protocol,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Evaluation]:
    """The score of each rival on the episodes that ``evaluate`` draws, by its name; among them the
    checkpoint itself without an inner step, where it takes any.

    progress: called with the number of episodes that were measured.
    """
    found = {}
    if recipe.steps:
        found[UNADAPTED] = evaluate(
            learner,
            meta,
            replace(recipe, steps=0),
            distribution,
            split=split,
            shape=shape,
            episodes=episodes,
            seed=seed,
            protocol=protocol,
            progress=progress,
        )
    scores: dict[str, list[Tensor]] = {}
    for drawn in draw_episodes(
        distribution, split=split, shape=shape, episodes=episodes, seed=seed
    ):
        methods = OF_VALUES if drawn.support_y.is_floating_point() else OF_CLASSES
        for name, method in methods.items():
            scores.setdefault(name, []).extend(score_method(method, drawn))
    for name, each in scores.items():
        found[name] = summarise(each, protocol="one by one", shape=shape, steps=0, seed=seed)
    return found


def better_rivals(
    learner: Learner, measured: Evaluation, rivals: Mapping[str, Evaluation]
) -> list[str]:
    """The rivals that are better by more than the measured score's interval; each that has a score
    is better than one that is no number.
    """
    merit = learner.kind.merit
    bar = merit(measured.mean) + measured.ci95
    return [
        name
        for name, rival in rivals.items()
        if math.isfinite(rival.mean) and not merit(rival.mean) <= bar
    ]
