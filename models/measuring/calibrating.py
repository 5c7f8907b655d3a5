"""A checkpoint's calibration: where known inputs lie, and what its scores are divided by, measured
on classes of validation that training never saw.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from models.engine.layers import episodes_at_once
from models.episodes import Episodes, EpisodeShape, Examples, TaskDistribution
from models.files.checkpoint import Checkpoint
from models.heads.applying import apply_head
from models.heads.novelty import (
    KNOWN,
    SEEN,
    UNLIKE,
    Bucket,
    Calibration,
    known_inputs,
    left_out_distances,
    nearest,
    with_novelty,
)
from models.inner_loop import adapt_episodes
from models.learner import Adapted, Adapts, Learner, body_of, episode_of
from models.measuring.evaluation import draw_episodes
from models.normalisation import Params, forward

SHOTS: Final = (1, 3, 5)  # of support sets with a single example of each class, with few, with more
STARTS: Final = (1, 2, 5)
EPISODES: Final = 40
QUERIES: Final = 5  # of a class
SEED: Final = 4_000_037
DOUBT: Final = 0.001  # few episodes may have no wrong answer, and nothing is that sure
TEMPERATURES: Final = (-3.5, 3.5)  # logarithms
HALVINGS: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """Of one episode: features of support (S, D) and queries (Q, D), scores (Q, N) and classes."""

    support: Examples
    seen: Tensor
    features: Tensor
    scores: Tensor
    y: Tensor


def calibrate_answers(
    checkpoint: Checkpoint,
    distribution: TaskDistribution,
    shape: EpisodeShape,
    *,
    episodes: int = EPISODES,
    progress: Callable[[], None] = lambda: None,
) -> Checkpoint:
    """The checkpoint with a calibration, or as it is where its kind of task has none.

    shape: of its validation episodes; of examples of a class that they take, one to five are
    shots. The same file, data and CPU give the same numbers. progress: called between two parts.
    """
    if not checkpoint.learner.kind.knows_its_inputs:
        return checkpoint
    learner = replace(checkpoint.learner, normalisation="support", calibration=None)
    plain = replace(checkpoint, learner=learner)
    buckets = list[Bucket]()
    for start, shot in zip(STARTS, SHOTS, strict=True):
        query = min(shape.query, shape.shot + shape.query - shot, QUERIES)
        if query < 1 and buckets:
            break
        asked = replace(shape, shot=shot, query=max(query, 1), unequal=False, kinds=1)
        drawn = list(
            draw_episodes(
                distribution, split="validation", shape=asked, episodes=episodes, seed=SEED + shot
            )
        )
        buckets.append(_bucket(plain, drawn, start, progress))
    calibration = Calibration(buckets=tuple(buckets))
    return replace(checkpoint, learner=replace(checkpoint.learner, calibration=calibration))


def _bucket(
    checkpoint: Checkpoint, drawn: list[Episodes], start: int, progress: Callable[[], None]
) -> Bucket:
    answered = {}
    for adapts in _ways(checkpoint):
        answered[adapts] = [one for part in drawn for one in _answered(checkpoint, part, adapts)]
        progress()
    usual = answered[checkpoint.inner_loop.adapts]
    bucket = _distances(usual, start)
    temperature: dict[str, float] = {
        adapts: _temperature(ones, bucket) for adapts, ones in answered.items()
    }
    return replace(bucket, temperature=temperature)


def _ways(checkpoint: Checkpoint) -> list[Adapts]:
    """The default one first, and those that a caller may ask for."""
    loop, kind = checkpoint.inner_loop, checkpoint.learner.kind
    stepped = {"all", "weights"} if not (loop.learned or loop.step_size) else {"weights"}
    named: list[Adapts] = ["kernel", "head", "all"]
    others = [way for way in named if way in kind.ways(checkpoint.learner.head)]
    return [loop.adapts, *(way for way in others if way != loop.adapts and way not in stepped)]


def _answered(checkpoint: Checkpoint, episodes: Episodes, adapts: Adapts) -> list[_Answered]:
    learner, theta = checkpoint.learner, checkpoint.meta.theta
    recipe, outputs = checkpoint.recipe_of(adapts), episodes.outputs
    episodes = episodes.to(checkpoint.meta.tensors()[0].device)
    size = episodes_at_once(learner.network, episodes.support_x.shape[1:])
    found = []
    for first in range(0, len(episodes), size):
        part = episodes.part(first, first + size)
        with torch.no_grad():
            stacked = adapt_episodes(learner, theta, part.support, recipe, outputs=outputs)
            found += [_of_one(learner, stacked, part, e) for e in range(len(part))]
    return found


def _of_one(learner: Learner, stacked: Adapted, episodes: Episodes, e: int) -> _Answered:
    adapted = episode_of(stacked, e)
    body, x = body_of(adapted.params), episodes.query_x[e]
    seen, _ = forward(learner.network, body, episodes.support_x[e], adapted.statistics)
    features, _ = forward(learner.network, body, x, adapted.statistics)
    return _Answered(
        support=episodes.part(e, e + 1).support,
        seen=seen,
        features=features,
        scores=apply_head(adapted.params, features, x),
        y=episodes.query_y[e],
    )


def _distances(answered: list[_Answered], start: int) -> Bucket:
    """Where the known inputs of these support sets lie; no temperatures yet."""
    apart = [nearest(one.features, one.seen).clamp(min=1e-30).log() for one in answered]
    low, middle, high = _points(torch.cat(apart))
    left_out = torch.cat([_left_out(one) for one in answered]).nanmedian().nan_to_num(middle)
    first = Bucket(
        shots=start,
        middle=middle,
        below=(middle - low) / UNLIKE,
        above=(high - middle) / UNLIKE,
        left_out=float(left_out),
        temperature={},
    )
    moved = [far - _known(one, first)[KNOWN][1] for one, far in zip(answered, apart, strict=True)]
    low, off, high = _points(torch.cat(moved))  # as it is with what the support set tells
    return replace(
        first, middle=middle + off, below=(off - low) / UNLIKE, above=(high - off) / UNLIKE
    )


def _points(numbers: Tensor) -> tuple[float, float, float]:
    low, middle, high = torch.quantile(numbers.double(), torch.tensor([0.05, 0.5, 0.95]).double())
    return float(low), float(middle), float(high)


def _left_out(one: _Answered) -> Tensor:
    members = torch.nn.functional.one_hot(one.support["y"]).to(one.seen.dtype)
    return left_out_distances(one.seen[None], members)[0]


def _known(one: _Answered, bucket: Bucket) -> Params:
    """What a head keeps of this support set."""
    alone = Calibration(buckets=(bucket,))
    kept = known_inputs(alone, "", one.seen[None], one.support, one.scores.shape[1])
    return {name: value[0] for name, value in kept.items()}


def _temperature(answered: list[_Answered], bucket: Bucket) -> float:
    """That of the least cross-entropy of the queries, ``DOUBT`` of which may be of any class."""
    kept = [_known(one, bucket) for one in answered]
    y = torch.cat([one.y for one in answered])

    def loss(logarithm: float) -> float:
        temperature = math.exp(logarithm)
        outputs = [
            with_novelty(_heated(known, temperature), one.scores, one.features)[:, :-1]
            for known, one in zip(kept, answered, strict=True)
        ]
        scores = torch.cat(outputs)
        return float(torch.nn.functional.cross_entropy(scores, y, label_smoothing=DOUBT))

    low, high = TEMPERATURES
    for _ in range(HALVINGS):  # of one valley
        middle, step = (low + high) / 2, (high - low) / 64
        if loss(middle - step) < loss(middle + step):
            high = middle
        else:
            low = middle
    return round(math.exp((low + high) / 2), 4)


def _heated(known: Params, temperature: float) -> Params:
    first = known[KNOWN].new_tensor([temperature])
    return {SEEN: known[SEEN], KNOWN: torch.cat([first, known[KNOWN][1:]])}
