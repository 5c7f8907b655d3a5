"""``assess`` and ``auto``: which adaptation is any good here? Each support example left out once
and predicted by the rest, in every way that the checkpoint can be adapted, and in none.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from app.kinds import find_kind
from app.values.arrays import INPUT, TARGET, without
from app.values.ways import ALL, CLOSED_FORMS, HEAD, UNADAPTED, WEIGHTS, Way
from models.files.checkpoint import Checkpoint
from models.learner import Adapted, features_of
from worker.stacking import adapt_rows, query_outputs
from worker.work import Failure, Work

Scores = dict[str, float | None]


def ways_of(checkpoint: Checkpoint) -> dict[str, Way]:
    """Every way that a checkpoint is adapted by default, by the name that an assessment has for it;
    the recipe's own is the first, and no adaptation at all the last.
    """
    learner, own = checkpoint.learner, checkpoint.inner_loop.adapts
    loop = checkpoint.inner_loop
    stepped = own != WEIGHTS and (loop.learned or loop.step_size)  # whose name is "all", too
    left = {WEIGHTS} if stepped else {WEIGHTS, ALL}
    possible = [name for name in learner.kind.ways(learner.head) if name not in left]
    ways = {}
    for name in (own, *(name for name in possible if name != own)):
        recipe = checkpoint.recipe_of(name)  # type: ignore[arg-type]
        learned = loop.learned and name not in (HEAD, *CLOSED_FORMS)
        size = None if learned else float(recipe.step_size) or None
        ways[ALL if name == WEIGHTS else name] = Way(
            adapts=name, steps=recipe.steps, step_size=size
        )
    first = next(iter(ways.values()))
    return ways | {UNADAPTED: replace(first, steps=0)}


def compare(
    checkpoint: Checkpoint,
    work: Work,
    *,
    outputs: int,
    progress: Callable[[], None] = lambda: None,
) -> Scores:
    """The leave-one-out score of every way, and of simpler rivals, by their names.

    None where no example can be left out (its class, or the set, would be empty without it), or
    where an adaptation without it diverges. progress: called after every inner step; what it raises
    ends the work.
    """
    kind = find_kind(checkpoint.learner.task)
    scores: Scores = {
        name: leave_one_out(checkpoint, work, way, outputs=outputs, progress=progress)
        for name, way in ways_of(checkpoint).items()
    }
    return scores | kind.rivals(_features(checkpoint, work), work.support)


def best_way(checkpoint: Checkpoint, work: Work, scores: Scores) -> Way:
    """The way whose score is the best, the recipe's own unless another is clearly better."""
    kind, ways = find_kind(checkpoint.learner.task), ways_of(checkpoint)
    possible = {name: score for name, score in scores.items() if name in ways}
    best = kind.best_of(possible, examples=len(kind.left_out(work.support)))
    return ways[best or next(iter(ways))]


def leave_one_out(
    checkpoint: Checkpoint,
    work: Work,
    way: Way,
    *,
    outputs: int,
    progress: Callable[[], None] = lambda: None,
) -> float | None:
    """The mean score of examples that were left out in turn; None as in ``compare``."""
    left_out = find_kind(checkpoint.learner.task).left_out(work.support)
    if not left_out:
        return None
    rest = [
        Work(support=without(work.support, index), step_size=way.step_size) for index in left_out
    ]
    adapted = adapt_rows(
        checkpoint,
        rest,
        outputs=outputs,
        steps=way.steps,
        adapts=way.adapts,
        device=next(iter(checkpoint.meta.theta.values())).device,
        progress=progress,
    )
    scores = [
        _scored(checkpoint, result, work, index, outputs)
        for result, index in zip(adapted, left_out, strict=True)
    ]
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if len(known) == len(scores) else None


def _features(checkpoint: Checkpoint, work: Work) -> NDArray[np.float32]:
    """(S, D) of the support set under θ."""
    x = torch.from_numpy(work.support[INPUT]).to(next(iter(checkpoint.meta.theta.values())).device)
    with torch.no_grad():
        features = features_of(checkpoint.learner, checkpoint.meta.theta, x)
    return np.asarray(features.cpu().numpy(), dtype=np.float32)


def _scored(
    checkpoint: Checkpoint, adapted: Adapted | Failure, work: Work, index: int, outputs: int
) -> float | None:
    if isinstance(adapted, Failure):
        return None
    left = slice(index, index + 1)
    told = query_outputs(checkpoint, adapted, work.support[INPUT][left]).numpy()
    kind = find_kind(checkpoint.learner.task)
    return kind.score(told[:, :outputs], work.support[TARGET][left])
