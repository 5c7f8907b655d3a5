"""The inner loop: from θ and one support set to φ (Finn et al. 2017, Algorithm 2, lines 5 to 8).

One episode is written down; ``adapt_episodes`` batches it over tenants with ``torch.func.vmap``.
Step sizes are for the mean loss over the support set.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap
from torch.nn import functional as F

from models.heads import BIAS, WEIGHT, Head, apply_head, start_head
from models.normalisation import EpisodeNorm, Params, Prior, Statistics, forward

TaskKind = Literal["classification", "regression"]
Normalisation = Literal["support", "batch"]
Adapts = Literal["all", "weights", "head"]
_Result = tuple[Params, Statistics, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """What is adapted: the body, its head, the kind of task, and how queries are normalised.

    prior: steadies the statistics of small support sets, in ``support`` normalisation only.
    """

    network: nn.Module
    head: Head
    task: TaskKind
    normalisation: Normalisation = "support"
    prior: Prior | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerLoop:
    """The recipe: gradient steps, one step size or learned ones, what moves, and the order of the
    meta-gradient.

    step_size: a number, or (E,) float32 when episodes differ. step_sizes: for each parameter of φ
    its (steps,) learned sizes (Antoniou et al. 2019), or (steps, …) ones for every element (Li et
    al. 2017, Meta-SGD, with one step); steps beyond them reuse the last. adapts: everything; all
    but the biases of normalisations (as in the code of Finn et al. 2017); or the head alone (ANIL,
    Raghu et al. 2020).
    """

    steps: int
    step_size: float | Tensor = 0.0
    step_sizes: Params = field(default_factory=dict)
    first_order: bool = False
    adapts: Adapts = "all"


class Point(NamedTuple):
    """A point on the way from θ to φ: parameters, support statistics and support loss there."""

    params: Params
    statistics: Statistics
    loss: Tensor


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
    points = list(walk(learner, theta, x, y, recipe, outputs=outputs))
    losses = torch.stack([point.loss for point in points])
    return Adapted(params=points[-1].params, statistics=points[-1].statistics, losses=losses)


def walk(
    learner: Learner, theta: Params, x: Tensor, y: Tensor, recipe: InnerLoop, *, outputs: int
) -> Iterator[Point]:
    """The steps + 1 points from the start to φ (Algorithm 2, lines 5 to 7, step by step)."""
    phi = _start(learner, theta, x, y, outputs)
    moving = [name for name in phi if moves(learner.network, name, recipe.adapts)]
    loss_of = _loss_of(learner, phi, x, y, recipe.adapts)
    for step in range(recipe.steps):
        moved = {name: phi[name] for name in moving}
        gradient, (loss, statistics) = grad_and_value(loss_of, has_aux=True)(moved)
        yield Point(phi, statistics, loss)
        phi = phi | _inner_step(moved, gradient, recipe, step)
    loss, statistics = loss_of({name: phi[name] for name in moving})
    yield Point(phi, statistics, loss)


def moves(network: nn.Module, name: str, adapts: Adapts) -> bool:
    """Whether the inner loop changes the parameter of this name."""
    if adapts == "all" or name in (WEIGHT, BIAS):
        return True
    if adapts == "head":
        return False
    return not isinstance(network.get_submodule(name.rpartition(".")[0]), EpisodeNorm)


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


def mean_loss(task: TaskKind, outputs: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of (B, N) scores and (B,) classes, or mean squared error of values."""
    return F.cross_entropy(outputs, y) if task == "classification" else F.mse_loss(outputs, y)


def _start(learner: Learner, theta: Params, x: Tensor, y: Tensor, outputs: int) -> Params:
    body = _body(theta)
    if learner.head.kind == "linear":
        return body | start_head(learner.head, theta, x, y, outputs)
    features, _ = _on_support(learner, body, x)
    return body | start_head(learner.head, theta, features, y, outputs)


def _loss_of(
    learner: Learner, phi: Params, x: Tensor, y: Tensor, adapts: Adapts
) -> Callable[[Params], tuple[Tensor, Statistics]]:
    """From the parameters that move to the support loss and the statistics there."""
    if adapts == "head":  # the features stay, so they are computed once
        features, statistics = _on_support(learner, _body(phi), x)
        return lambda head: (mean_loss(learner.task, apply_head(head, features), y), statistics)

    def loss_of(moved: Params) -> tuple[Tensor, Statistics]:
        at = phi | moved
        features, statistics = _on_support(learner, _body(at), x)
        return mean_loss(learner.task, apply_head(at, features), y), statistics

    return loss_of


def _on_support(learner: Learner, body: Params, x: Tensor) -> tuple[Tensor, Statistics]:
    prior = learner.prior if learner.normalisation == "support" else None
    return forward(learner.network, body, x, prior=prior)


def _inner_step(params: Params, gradient: Params, recipe: InnerLoop, step: int) -> Params:
    """One gradient step (Algorithm 2, line 7); first-order: the gradient counts as a constant."""
    if recipe.first_order:
        gradient = {name: g.detach() for name, g in gradient.items()}
    return {name: p - _size(recipe, name, p, step) * gradient[name] for name, p in params.items()}


def _size(recipe: InnerLoop, name: str, param: Tensor, step: int) -> float | Tensor:
    if not recipe.step_sizes:
        return recipe.step_size
    learned = recipe.step_sizes[name]
    size = learned[min(step, len(learned) - 1)]
    return size if size.dim() == 0 else size[: len(param)]  # a head may use fewer rows


def _body(params: Params) -> Params:
    return {name: value for name, value in params.items() if not name.startswith("head.")}
