"""Evaluation: the mean over test episodes with its 95 % interval, under one of two protocols.

``one by one``: every query is predicted under the support set's statistics, by its own input alone,
as it is served (in one call here: what else is in it changes nothing).
``transductive``: the queries of an episode are normalised together, as in the tables of Finn et
al. 2017.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from models.engine.layers import episodes_at_once
from models.episodes import Episodes, EpisodeShape, TaskDistribution
from models.inner_loop import adapt_episodes
from models.learner import InnerLoop, Learner, Normalisation, episode_of, predict
from models.normalisation import Params
from models.outer_loop import MetaParams

Protocol = Literal["one by one", "transductive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """mean and ci95 (half the interval, 1.96 sd / √episodes) of accuracy or mean squared error.

    kinds: of each class, with shot and query examples of each; records from before have none.
    """

    protocol: Protocol
    episodes: int
    way: int
    shot: int
    query: int
    steps: int
    seed: int
    mean: float
    ci95: float
    kinds: int = 1


def evaluate(
    learner: Learner,
    meta: MetaParams,
    recipe: InnerLoop,
    distribution: TaskDistribution,
    *,
    split: str,
    shape: EpisodeShape,
    episodes: int,
    seed: int,
    protocol: Protocol = "one by one",
    chunk: int = 20,
    progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """The score over ``episodes`` of a split; the same file, seed and CPU give the same value."""
    device = meta.tensors()[0].device
    scores: list[Tensor] = []
    for drawn in draw_episodes(
        distribution, split=split, shape=shape, episodes=episodes, seed=seed, chunk=chunk
    ):
        scores += score_episodes(learner, meta, recipe, drawn.to(device), protocol=protocol)
        progress(len(scores))
    return summarise(scores, protocol=protocol, shape=shape, steps=recipe.steps, seed=seed)


def draw_episodes(
    distribution: TaskDistribution,
    *,
    split: str,
    shape: EpisodeShape,
    episodes: int,
    seed: int,
    chunk: int = 20,
) -> Iterator[Episodes]:
    """The episodes that a seed stands for, at most ``chunk`` at a time: every method that is
    measured under this seed is measured on them.

    Raises ValueError where the shape has several kinds in a class and the distribution knows none.
    """
    generator = torch.Generator().manual_seed(seed)
    for first in range(0, episodes, chunk):
        drawn = distribution.draw(split, min(chunk, episodes - first), shape, generator)
        if shape.kinds > 1 and drawn.support_x.shape[1] != shape.all_kinds * shape.shot:
            raise ValueError("kinds: expected 1, these tasks have no classes of several kinds")
        yield drawn


def trained_protocol(learner: Learner) -> Protocol:
    """The protocol that the learner's normalisation was meta-trained for."""
    return "transductive" if learner.normalisation == "batch" else "one by one"


def summarise(
    scores: Sequence[Tensor], *, protocol: Protocol, shape: EpisodeShape, steps: int, seed: int
) -> Evaluation:
    """The mean of one score per episode, with its interval."""
    values = torch.stack(list(scores)).double().cpu()
    return Evaluation(
        protocol=protocol,
        episodes=len(values),
        way=shape.way,
        shot=shape.shot,
        query=shape.query,
        steps=steps,
        seed=seed,
        mean=values.mean().item(),
        ci95=1.96 * values.std(correction=0).item() / math.sqrt(len(values)),
        kinds=shape.kinds,
    )


def score_episodes(
    learner: Learner,
    meta: MetaParams,
    recipe: InnerLoop,
    episodes: Episodes,
    *,
    protocol: Protocol,
) -> list[Tensor]:
    """The score of each episode after adapting to its support."""
    mode: Normalisation = "batch" if protocol == "transductive" else "support"
    judged = replace(learner, normalisation=mode, calibration=None)  # no label depends on it
    guarded = recipe.guarded and protocol == "one by one"  # the paper takes every step
    inner = replace(recipe, step_sizes=meta.step_sizes, guarded=guarded)
    stacked = episodes_at_once(learner.network, episodes.support_x.shape[1:])
    scores: list[Tensor] = []
    for first in range(0, len(episodes), stacked):
        part = episodes.part(first, first + stacked)
        scores += _score_stack(judged, meta.theta, inner, part)
    return scores


def _score_stack(
    learner: Learner, theta: Params, recipe: InnerLoop, episodes: Episodes
) -> list[Tensor]:
    with torch.no_grad():
        adapted = adapt_episodes(learner, theta, episodes.support, recipe, outputs=episodes.outputs)
        outputs = [
            predict(learner, episode_of(adapted, e), episodes.query_x[e])
            for e in range(len(episodes))
        ]
        return list(learner.kind.scores(torch.stack(outputs), episodes.query))
