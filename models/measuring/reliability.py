"""How far a classifier's answers can be relied on: whether its probabilities come true, and whether
it knows an input of no class of its support set.

The queries are those of an episode's classes, and as many of others of the same split.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from models.engine.layers import episodes_at_once
from models.episodes import Episodes, EpisodeShape, TaskDistribution, labelled
from models.heads.novelty import UNLIKE, Calibration
from models.inner_loop import adapt_episodes
from models.learner import InnerLoop, Learner, episode_of, predict
from models.measuring.evaluation import draw_episodes
from models.outer_loop import MetaParams

BINS: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """calibration_error: the expected one, over ``BINS`` equal bins of the likeliest class's
    probability; novelty_auroc: that an input of another class is more unlike than one of these;
    false_alarms: the share of these beyond the threshold, caught: of the others. None where
    nothing was measured: no other classes, or no novelty.
    """

    calibration_error: float
    novelty_auroc: float | None = None
    false_alarms: float | None = None
    caught: float | None = None


def measure_reliability(
    learner: Learner,
    meta: MetaParams,
    recipe: InnerLoop,
    distribution: TaskDistribution,
    *,
    split: str,
    shape: EpisodeShape,
    episodes: int,
    seed: int,
) -> Reliability | None:
    """The reliability on episodes of one split, one by one; None of a kind of task without
    classes.
    """
    if not learner.kind.knows_its_inputs:
        return None
    judged = replace(
        learner, normalisation="support", calibration=learner.calibration or Calibration()
    )
    inner = replace(recipe, step_sizes=meta.step_sizes)
    known, targets, unknown = list[Tensor](), list[Tensor](), list[Tensor]()
    for drawn, others in open_episodes(distribution, split, shape, episodes, seed):
        for outputs, y, beside in _answers(judged, meta, inner, drawn, others):
            known.append(outputs)
            targets.append(y)
            unknown.append(beside)
    return _reliability(known, torch.cat(targets), unknown, shape.way)


def open_episodes(
    distribution: TaskDistribution, split: str, shape: EpisodeShape, episodes: int, seed: int
) -> Iterator[tuple[Episodes, Tensor]]:
    """Episodes of a shape, and (E, U, …) inputs of other classes: as many as there are, at most as
    many classes again, none where the split has no more.
    """
    for more in (shape.way, 1, 0):
        wider = replace(shape, way=shape.way + more)
        try:
            for drawn in draw_episodes(
                distribution, split=split, shape=wider, episodes=episodes, seed=seed
            ):
                yield _parted(drawn, shape.way)
        except ValueError:
            if not more:
                raise
        else:
            return


def _parted(drawn: Episodes, way: int) -> tuple[Episodes, Tensor]:
    """The first classes, and the queries of the others."""
    given, asked = drawn.support_y[0] < way, drawn.query_y[0] < way
    return (
        Episodes(
            support_x=drawn.support_x[:, given],
            support_y=drawn.support_y[:, given],
            query_x=drawn.query_x[:, asked],
            query_y=drawn.query_y[:, asked],
            outputs=way,
        ),
        drawn.query_x[:, ~asked],
    )


def _answers(
    learner: Learner, meta: MetaParams, recipe: InnerLoop, episodes: Episodes, others: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Of each episode what is said of its queries, their classes, and what of the others."""
    size = episodes_at_once(learner.network, episodes.support_x.shape[1:])
    device = meta.tensors()[0].device
    for first in range(0, len(episodes), size):
        part = episodes.part(first, first + size).to(device)
        support = labelled(part.support_x, part.support_y)
        with torch.no_grad():
            adapted = adapt_episodes(learner, meta.theta, support, recipe, outputs=part.outputs)
            for e in range(len(part)):
                one, beside = episode_of(adapted, e), others[first + e].to(device)
                known = predict(learner, one, part.query_x[e])
                unknown = predict(learner, one, beside) if len(beside) else known[:0]
                yield known.cpu(), part.query_y[e].cpu(), unknown.cpu()


def _reliability(
    known: Sequence[Tensor], y: Tensor, unknown: Sequence[Tensor], way: int
) -> Reliability:
    scores = torch.cat([outputs[:, :way] for outputs in known])
    error = calibration_error(scores.double().softmax(dim=1), y)
    if any(outputs.shape[1] == way for outputs in known):
        return Reliability(calibration_error=error)
    near = torch.cat([outputs[:, way] for outputs in known]).double()
    far = torch.cat([outputs[:, way] for outputs in unknown]).double()
    return Reliability(
        calibration_error=error,
        novelty_auroc=auroc(near, far) if len(far) else None,
        false_alarms=float((near > UNLIKE).double().mean()),
        caught=float((far > UNLIKE).double().mean()) if len(far) else None,
    )


def calibration_error(probabilities: Tensor, y: Tensor) -> float:
    """The mean gap of probability and accuracy over bins, weighted by the (Q,) answers in each;
    probabilities: (Q, N). Naeini, Cooper and Hauskrecht 2015.
    """
    largest, label = probabilities.max(dim=1)
    gaps = largest - (label == y).to(largest.dtype)
    bins = (largest * BINS).long().clamp(max=BINS - 1)
    sums = largest.new_zeros(BINS).index_add_(0, bins, gaps)
    return float(sums.abs().sum() / len(y))


def auroc(known: Tensor, unknown: Tensor) -> float:
    """How often a number of ``unknown`` is above one of ``known``; equal ones count half."""
    ordered = known.sort().values
    below = torch.searchsorted(ordered, unknown, right=False)
    upto = torch.searchsorted(ordered, unknown, right=True)
    return float((below + upto).double().mean() / 2 / len(known))
