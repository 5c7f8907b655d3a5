"""The inner loop: from θ and one support set to φ (Finn et al. 2017, Algorithm 2, lines 5 to 8).

One episode is written down; ``adapt_episodes`` batches it over tenants with ``torch.func.vmap``.
Step sizes are for the mean loss over the support set.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap
from torch.nn import functional as F

from models.heads import Head, apply_head, start_head
from models.normalisation import Params, Statistics, forward

TaskKind = Literal["classification", "regression"]
Normalisation = Literal["support", "batch"]
_Result = tuple[Params, Statistics, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """What is adapted: the body, its head, the kind of task, and how queries are normalised."""

    network: nn.Module
    head: Head
    task: TaskKind
    normalisation: Normalisation = "support"


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerLoop:
    """The recipe: gradient steps, one step size or learned ones, and the order of the
    meta-gradient.

    step_size: a number, or (E,) float32 when episodes differ. step_sizes: for each parameter of φ
    its (steps,) learned sizes (Li et al. 2017; Antoniou et al. 2019); steps beyond them reuse the
    last.
    """

    steps: int
    step_size: float | Tensor = 0.0
    step_sizes: Params = field(default_factory=dict)
    first_order: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """params: φ, body and head; statistics: of the support set at φ; losses: (steps + 1,) float32.

    ``losses`` is the support loss before the first step and after each. Batched: all lead with
    (E,).
    """

    params: Params
    statistics: Statistics
    losses: Tensor


def adapt(
    learner: Learner, theta: Params, x: Tensor, y: Tensor, recipe: InnerLoop, *, outputs: int
) -> Adapted:
    """Move θ to φ by the recipe's gradient steps on one support set.

    x: (S, …) float32; y: (S,) int64 in [0, outputs) or (S, outputs) float32; outputs: the classes
    or values in use. Differentiable in θ, through the steps unless first-order.
    """
    phi = _start(learner, theta, x, y, outputs)
    losses: list[Tensor] = []
    for step in range(recipe.steps):
        phi, loss = _inner_step(learner, phi, x, y, recipe, step)
        losses.append(loss)
    loss, statistics = support_loss(learner, phi, x, y)
    return Adapted(params=phi, statistics=statistics, losses=torch.stack([*losses, loss]))


def adapt_episodes(
    learner: Learner,
    theta: Params,
    x_ES: Tensor,
    y_ES: Tensor,
    recipe: InnerLoop,
    *,
    outputs: int,
    chunk: int | None = None,
) -> Adapted:
    """Adapt E episodes at once, the same as ``adapt`` on each; ``chunk`` bounds how many are
    stacked.
    """
    sizes = torch.as_tensor(recipe.step_size, dtype=x_ES.dtype, device=x_ES.device)

    def one(x: Tensor, y: Tensor, step_size: Tensor) -> _Result:
        adapted = adapt(learner, theta, x, y, replace(recipe, step_size=step_size), outputs=outputs)
        return adapted.params, adapted.statistics, adapted.losses

    sizes = sizes.expand(len(x_ES))
    if len(x_ES) == 1:  # a lonely episode pays nothing for the batch: 15 % on a CPU
        return _stack_one(one(x_ES[0], y_ES[0], sizes[0]))
    stacked: Callable[..., _Result] = vmap(one, chunk_size=chunk)
    params, statistics, losses = stacked(x_ES, y_ES, sizes)
    return Adapted(params=params, statistics=statistics, losses=losses)


def _stack_one(result: _Result) -> Adapted:
    params, statistics, losses = result
    return Adapted(
        params={name: value[None] for name, value in params.items()},
        statistics={name: value[None] for name, value in statistics.items()},
        losses=losses[None],
    )


def predict(learner: Learner, adapted: Adapted, x: Tensor) -> Tensor:
    """(B, …) queries -> (B, outputs) scores or values, each from φ and its own input alone.

    Only in ``batch`` normalisation, the paper's, do the queries of one call see each other.
    """
    statistics = adapted.statistics if learner.normalisation == "support" else None
    features, _ = forward(learner.network, _body(adapted.params), x, statistics)
    return apply_head(adapted.params, features)


def support_loss(learner: Learner, phi: Params, x: Tensor, y: Tensor) -> tuple[Tensor, Statistics]:
    """The mean loss of φ on the support set, and the statistics that normalised it."""
    features, statistics = forward(learner.network, _body(phi), x)
    return mean_loss(learner.task, apply_head(phi, features), y), statistics


def mean_loss(task: TaskKind, outputs: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of (B, N) scores and (B,) classes, or mean squared error of values."""
    return F.cross_entropy(outputs, y) if task == "classification" else F.mse_loss(outputs, y)


def _start(learner: Learner, theta: Params, x: Tensor, y: Tensor, outputs: int) -> Params:
    body = _body(theta)
    if learner.head.kind == "linear":
        return body | start_head(learner.head, theta, x, y, outputs)
    features, _ = forward(learner.network, body, x)
    return body | start_head(learner.head, theta, features, y, outputs)


def _inner_step(
    learner: Learner, phi: Params, x: Tensor, y: Tensor, recipe: InnerLoop, step: int
) -> tuple[Params, Tensor]:
    def loss_of(params: Params) -> tuple[Tensor, Statistics]:
        return support_loss(learner, params, x, y)

    gradient, (loss, _) = grad_and_value(loss_of, has_aux=True)(phi)
    if recipe.first_order:
        gradient = {name: g.detach() for name, g in gradient.items()}
    return {name: p - _size(recipe, name, step) * gradient[name] for name, p in phi.items()}, loss


def _size(recipe: InnerLoop, name: str, step: int) -> float | Tensor:
    if not recipe.step_sizes:
        return recipe.step_size
    learned = recipe.step_sizes[name]
    return learned[min(step, len(learned) - 1)]


def _body(params: Params) -> Params:
    return {name: value for name, value in params.items() if not name.startswith("head.")}
