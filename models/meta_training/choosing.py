"""The inner loop that a checkpoint is served with by default, chosen on validation episodes.

Steps are taken only where they are better by more than the interval of the paired differences:
where class means of good features are at the ceiling, steps can only harm. A closed form is kept
unless it clearly harms: what it is for, classes of several kinds, is not in these episodes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from models.episodes import EpisodeShape, TaskDistribution
from models.files.served_loop import ServedInnerLoop
from models.learner import CLOSED_FORMS, Adapts, Learner
from models.measuring.evaluation import draw_episodes, score_episodes, trained_protocol
from models.meta_training.recipes import Recipe
from models.meta_training.training import served_loop
from models.outer_loop import MetaParams

CHOICE_SEED = 1_000_037
FACTORS = (0.3, 1.0, 3.0)  # of the recipe's step size


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A way to adapt: its mean score, and the mean gain in merit over no step on the same episodes,
    with half of its 95 % interval.
    """

    adapts: Adapts
    steps: int
    step_size: float
    mean: float
    gain: float
    ci95: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The loop that was chosen and how it scored, what was tried (no step comes first), and at
    which shots.
    """

    loop: ServedInnerLoop
    taken: Tried
    tried: tuple[Tried, ...]
    shots: tuple[int, ...]


def choose_loop(
    recipe: Recipe,
    learner: Learner,
    meta: MetaParams,
    distribution: TaskDistribution,
    *,
    progress: Callable[[], None] = lambda: None,
) -> Choice:
    """What the recipe serves, no adaptation where that is clearly better, or gradient steps where
    these are: the recipe's, with the best of some sizes, guarded as served; of learned sizes only
    the learned ones.

    progress: called after some episodes; what it raises ends the work there.
    """
    shapes = _shapes(recipe)
    score = partial(_scores, recipe, learner, meta, distribution, shapes, progress)
    loop = recipe.inner_loop
    closed = loop.adapts in CLOSED_FORMS
    stepped = replace(loop, adapts=_moving(learner)) if closed else loop
    unadapted = replace(stepped, steps=0)
    sizes = [loop.step_size * factor for factor in (FACTORS if not loop.learned else (1.0,))]
    candidates = [loop] * closed
    candidates += [replace(stepped, step_size=float(f"{s:.3g}")) for s in sizes if loop.steps]
    start = score(unadapted)
    none = _compared(learner, unadapted, start, start)
    compared = [_compared(learner, loop, score(loop), start) for loop in candidates]
    tried = [one for one in compared if math.isfinite(one.mean)]
    usual = next((one for one in tried if closed and one.gain >= -one.ci95), none)
    better = [one for one in tried if one.gain > usual.gain + one.ci95]
    taken = max(better, key=lambda one: one.gain, default=usual)
    kept = loop if taken.adapts in CLOSED_FORMS else stepped
    return Choice(
        loop=replace(kept, steps=taken.steps, step_size=taken.step_size),
        taken=taken,
        tried=(none, *tried),
        shots=tuple(shape.shot for shape in shapes),
    )


def _moving(learner: Learner) -> Adapts:
    """What gradient steps move, where a closed form is served."""
    return "all" if "all" in learner.kind.ways(learner.head) else "head"


def _shapes(recipe: Recipe) -> list[EpisodeShape]:
    """The shape of validation, and the most shots of the last stage out of as many examples."""
    judged, last = recipe.validation.shape, recipe.stages[-1].shot
    most = last if isinstance(last, int) else last[1]
    more = min(most, judged.shot + judged.query - 1)
    if more <= judged.shot:
        return [judged]
    return [judged, replace(judged, shot=more, query=judged.shot + judged.query - more)]


def _scores(
    recipe: Recipe,
    learner: Learner,
    meta: MetaParams,
    distribution: TaskDistribution,
    shapes: Sequence[EpisodeShape],
    progress: Callable[[], None],
    loop: ServedInnerLoop,
) -> Tensor:
    """One score for each episode of each shape, the same episodes for every loop."""
    inner = served_loop(replace(recipe, inner_loop=loop))
    protocol, scores = trained_protocol(learner), list[Tensor]()
    device = meta.tensors()[0].device
    for shape in shapes:
        for drawn in draw_episodes(
            distribution,
            split="validation",
            shape=shape,
            episodes=recipe.validation.episodes,
            seed=CHOICE_SEED,
        ):
            scores += score_episodes(learner, meta, inner, drawn.to(device), protocol=protocol)
            progress()
    return torch.stack(scores).double().cpu()


def _compared(learner: Learner, loop: ServedInnerLoop, scores: Tensor, start: Tensor) -> Tried:
    sign = 1 if learner.kind.higher_is_better else -1
    gains = sign * (scores - start)
    return Tried(
        adapts=loop.adapts,
        steps=loop.steps,
        step_size=loop.step_size,
        mean=scores.mean().item(),
        gain=gains.mean().item(),
        ci95=1.96 * gains.std(correction=0).item() / math.sqrt(len(gains)),
    )
