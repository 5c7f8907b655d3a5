"""The outer loop: one update of θ by the query loss after adaptation (Finn et al. 2017, Algorithm
2).

Second order: the gradient runs through the inner steps. First order: it stops at them (section
5.2).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from models.episodes import Episodes
from models.inner_loop import walk
from models.learner import InnerLoop, Learner, predict_episodes
from models.normalisation import Params

LAST_ALONE: tuple[float, ...] = (1.0,)


class NotFinite(ValueError):
    """A loss or a meta-gradient is no finite number; θ is what it was before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaParams:
    """What the outer loop learns: θ, and where the recipe asks for it the inner loop's step
    sizes.
    """

    theta: Params
    step_sizes: Params = field(default_factory=dict)

    def tensors(self) -> list[Tensor]:
        return [*self.theta.values(), *self.step_sizes.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class OuterResult:
    """The means over a meta-batch: query loss, and accuracy (or mean squared error)."""

    loss: float
    score: float


def outer_loss(
    learner: Learner,
    meta: MetaParams,
    episodes: Episodes,
    recipe: InnerLoop,
    *,
    weights: tuple[float, ...] = LAST_ALONE,
) -> tuple[Tensor, Tensor]:
    """Query loss and score of every episode after adapting to its support: two (E,) float32.

    The loss is differentiable in ``meta`` (line 10: the sum over tasks of L(f_θ'), here its terms).
    weights: of the query losses after the last steps, the last one's at the end (Antoniou et al.
    2019, multi-step loss); the score is that of φ.
    """
    inner = replace(recipe, step_sizes=meta.step_sizes)
    query, kind = episodes.query.cleared(), learner.kind
    points = list(walk(learner, meta.theta, episodes.support, inner, outputs=episodes.outputs))
    judged = points[-min(len(weights), len(points)) :]
    total = torch.zeros(len(episodes), device=query.x.device)
    for weight, point in zip(weights[-len(judged) :], judged, strict=True):
        outputs = predict_episodes(learner, point.params, point.statistics, query.x)
        total = total + weight * kind.losses(outputs, query)
    return total, kind.scores(outputs.detach(), query)


def multi_step_weights(steps: int, share: float) -> tuple[float, ...]:
    """The weights of the query losses after each of ``steps`` steps (Antoniou et al. 2019, MSL).

    They start equal; over the annealing, of which ``share`` in [0, 1] is done, all but the last
    fall to 0.03 / steps, and the last takes the rest.
    """
    if steps < 2:
        return LAST_ALONE
    other = max(1 - share, 0.03) / steps
    return (*(other,) * (steps - 1), 1 - other * (steps - 1))


def outer_step(
    learner: Learner,
    meta: MetaParams,
    episodes: Episodes,
    recipe: InnerLoop,
    optimiser: torch.optim.Optimizer,
    *,
    chunk: int,
    weights: tuple[float, ...] = LAST_ALONE,
    clip: float | None = None,
) -> OuterResult:
    """One update of θ on a meta-batch of episodes, ``chunk`` of them stacked at a time.

    clip: the most that an element of the meta-gradient may be, either way.
    """
    optimiser.zero_grad(set_to_none=True)
    loss = score = 0.0
    for part in _chunks(episodes, chunk):
        losses, scores = outer_loss(learner, meta, part, recipe, weights=weights)
        (losses.sum() / len(episodes)).backward()  # type: ignore[no-untyped-call]
        loss += losses.sum().item() / len(episodes)
        score += scores.sum().item() / len(episodes)
    if clip is not None:
        torch.nn.utils.clip_grad_value_(meta.tensors(), clip)
    check_finite(loss, meta)
    optimiser.step()
    return OuterResult(loss=loss, score=score)


def check_finite(loss: float, meta: MetaParams) -> None:
    """Raises NotFinite where the loss or its gradient in ``meta`` is no finite number."""
    if not math.isfinite(loss):
        raise NotFinite("the loss is not finite")
    gradients = [t.grad for t in meta.tensors() if t.grad is not None]
    zeros = torch.stack([gradient.mul(0).sum() for gradient in gradients])  # or NaN
    if not bool((zeros == 0).all()):
        raise NotFinite("the meta-gradient is not finite")


def _chunks(episodes: Episodes, chunk: int) -> Iterator[Episodes]:
    for start in range(0, len(episodes), chunk):
        yield episodes.part(start, start + chunk)
