"""The outer loop: one update of θ by the query loss after adaptation (Finn et al. 2017, Algorithm
2).

Second order: the gradient runs through the inner steps. First order: it stops at them (section
5.2).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.func import vmap

from models.episodes import Episodes
from models.inner_loop import Adapted, InnerLoop, Learner, adapt, mean_loss, predict
from models.normalisation import Params


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
    learner: Learner, meta: MetaParams, episodes: Episodes, recipe: InnerLoop
) -> tuple[Tensor, Tensor]:
    """Query loss and score of every episode after adapting to its support: two (E,) float32.

    The loss is differentiable in ``meta`` (line 10: the sum over tasks of L(f_θ'), here its terms).
    """
    inner = replace(recipe, step_sizes=meta.step_sizes)

    def one(sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> tuple[Tensor, Tensor]:
        phi = adapt(learner, meta.theta, sx, sy, inner, outputs=episodes.outputs)
        return _query_loss(learner, phi, qx, qy)

    losses: tuple[Tensor, Tensor] = vmap(one)(
        episodes.support_x, episodes.support_y, episodes.query_x, episodes.query_y
    )
    return losses


def outer_step(
    learner: Learner,
    meta: MetaParams,
    episodes: Episodes,
    recipe: InnerLoop,
    optimiser: torch.optim.Optimizer,
    *,
    chunk: int,
) -> OuterResult:
    """One update of θ on a meta-batch of episodes, ``chunk`` of them stacked at a time."""
    optimiser.zero_grad(set_to_none=True)
    loss = score = 0.0
    for part in _chunks(episodes, chunk):
        losses, scores = outer_loss(learner, meta, part, recipe)
        (losses.sum() / len(episodes)).backward()  # type: ignore[no-untyped-call]
        loss += losses.sum().item() / len(episodes)
        score += scores.sum().item() / len(episodes)
    optimiser.step()
    return OuterResult(loss=loss, score=score)


def score_of(learner: Learner, outputs: Tensor, y: Tensor) -> Tensor:
    """Share of right classes, or mean squared error, of one episode's queries."""
    if learner.task == "regression":
        return (outputs - y).square().mean()
    return (outputs.argmax(dim=-1) == y).to(outputs.dtype).mean()


def _query_loss(learner: Learner, phi: Adapted, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    outputs = predict(learner, phi, x)
    return mean_loss(learner.task, outputs, y), score_of(learner, outputs.detach(), y)


def _chunks(episodes: Episodes, chunk: int) -> Iterator[Episodes]:
    for start in range(0, len(episodes), chunk):
        yield episodes.part(start, start + chunk)
