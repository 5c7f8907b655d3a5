"""The inner loop: from θ and one support set to φ (Finn et al. 2017, Algorithm 2, lines 5 to 8).

Written for E episodes at once, of one tenant or of many: parameters lead with (E,), and the
gradient of the summed losses is every episode's own. Step sizes are for the mean loss over a
support set.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from models.engine.backward import RecordedLayers
from models.engine.layers import forward_stacked, is_stackable
from models.engine.patches import as_matrices
from models.episodes import Examples
from models.guard import Guard, Point
from models.heads import BIAS, WEIGHT, Head, apply_head, start_head
from models.kinds import Kind, find_kind
from models.normalisation import EpisodeNorm, Params, Prior, Statistics, forward, normalises

Normalisation = Literal["support", "batch"]
Adapts = Literal["all", "weights", "head"]
_Losses = Callable[[Params], tuple[Tensor, Statistics]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """What is adapted: the body, its head, the kind of task, and how queries are normalised.

    task: the kind's name in ``models/kinds.py``. prior: steadies the statistics of small support
    sets, in ``support`` normalisation only.
    """

    network: nn.Module
    head: Head
    task: str
    normalisation: Normalisation = "support"
    prior: Prior | None = None

    @property
    def kind(self) -> Kind:
        """The loss, its gradient and the score. Raises ValueError for an unknown task."""
        return find_kind(self.task)


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerLoop:
    """The recipe: gradient steps, one step size or learned ones, what moves, and the order of the
    meta-gradient.

    step_size: a number, or (E,) float32 when episodes differ. step_sizes: for each parameter of φ
    its (steps,) learned sizes (Antoniou et al. 2019), or (steps, …) ones for every element (Li et
    al. 2017, Meta-SGD, with one step); steps beyond them reuse the last. adapts: everything; all
    but the biases of normalisations (as in the code of Finn et al. 2017); or the head alone (ANIL,
    Raghu et al. 2020). guarded: a step that would raise an episode's support loss is not taken, and
    those after it are shorter (``models/guard.py``).
    """

    steps: int
    step_size: float | Tensor = 0.0
    step_sizes: Params = field(default_factory=dict)
    first_order: bool = False
    adapts: Adapts = "all"
    guarded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """params: φ, body and head; statistics: of the support set at φ; losses: (steps + 1,) float32.

    ``losses`` is the support loss before the first step and after each. Stacked: all lead with
    (E,).
    """

    params: Params
    statistics: Statistics
    losses: Tensor


def adapt(
    learner: Learner, theta: Params, support: Examples, recipe: InnerLoop, *, outputs: int
) -> Adapted:
    """Move θ to φ by the recipe's gradient steps on one support set, whose arrays are (S, …)."""
    stacked = support.each(lambda array: array[None])
    return episode_of(adapt_episodes(learner, theta, stacked, recipe, outputs=outputs), 0)


def adapt_episodes(
    learner: Learner,
    theta: Params,
    support: Examples,
    recipe: InnerLoop,
    *,
    outputs: int,
    progress: Callable[[], None] = lambda: None,
) -> Adapted:
    """Move θ to a φ of its own for each of E support sets.

    support: arrays (E, S, …), as the learner's kind of task takes them; outputs: the classes or
    values in use. Differentiable in θ, through the steps unless first-order. progress: called after
    every step; what it raises ends the work there. Raises ValueError for a mask where the support
    set normalises: what does not count would still move its statistics.
    """
    points = list(walk(learner, theta, support, recipe, outputs=outputs, progress=progress))
    losses = torch.stack([point.losses for point in points], dim=1)
    phi = {name: value.contiguous() for name, value in points[-1].params.items()}
    return Adapted(params=phi, statistics=points[-1].statistics, losses=losses)


def walk(
    learner: Learner,
    theta: Params,
    support: Examples,
    recipe: InnerLoop,
    *,
    outputs: int,
    progress: Callable[[], None] = lambda: None,
) -> Iterator[Point]:
    """The steps + 1 points from the start to φ (Algorithm 2, lines 5 to 7, step by step).

    progress: called after every step; what it raises ends the walk there.
    """
    learned = (*theta.values(), *recipe.step_sizes.values())
    meta = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in learned)
    _check_mask(learner, support)
    support = support.cleared()
    phi, guard = _start(learner, theta, support, outputs), Guard() if recipe.guarded else None
    moving = [name for name in phi if moves(learner.network, name, recipe.adapts)]
    losses_at = _losses_of(learner, phi, support, recipe.adapts)
    for step in range(recipe.steps):
        moved = {name: phi[name] for name in moving}
        if _is_written(learner, recipe, meta=meta):
            point, gradient = _written_gradient(learner, phi, support)
        else:
            point, gradient = _gradient(losses_at, phi, moved, meta=meta, first=recipe.first_order)
        if guard is not None:
            point, gradient = guard.keep(point, gradient)
        yield point
        here = {name: point.params[name] for name in moving}
        scale = None if guard is None else guard.scale
        phi = point.params | _inner_step(here, gradient, recipe, step, scale)
        progress()
    losses, statistics = losses_at({name: phi[name] for name in moving})
    last = Point(phi, statistics, losses)
    yield last if guard is None else guard.keep(last, {})[0]


def features_of(learner: Learner, theta: Params, x: Tensor) -> Tensor:
    """(S, …) examples -> (S, D), their features under θ, normalised by themselves."""
    body = {name: value[None] for name, value in _body(theta).items()}
    return _on_support(learner, body, x[None])[0][0]


def moves(network: nn.Module, name: str, adapts: Adapts) -> bool:
    """Whether the inner loop changes the parameter of this name."""
    if adapts == "all" or name in (WEIGHT, BIAS):
        return True
    if adapts == "head":
        return False
    return not isinstance(network.get_submodule(name.rpartition(".")[0]), EpisodeNorm)


def episode_of(adapted: Adapted, episode: int) -> Adapted:
    """One episode out of a stacked adaptation."""

    def pick(tree: Params) -> Params:
        return {name: value[episode] for name, value in tree.items()}

    return Adapted(
        params=pick(adapted.params),
        statistics=pick(adapted.statistics),
        losses=adapted.losses[episode],
    )


def predict(learner: Learner, adapted: Adapted, x: Tensor) -> Tensor:
    """(B, …) queries -> (B, outputs) scores or values, each from φ and its own input alone.

    Only in ``batch`` normalisation, the paper's, do the queries of one call see each other.
    """
    statistics = adapted.statistics if learner.normalisation == "support" else None
    features, _ = forward(learner.network, _body(adapted.params), x, statistics)
    return apply_head(adapted.params, features)


def predict_episodes(learner: Learner, params: Params, statistics: Statistics, x: Tensor) -> Tensor:
    """The same for E episodes at once: x (E, B, …) -> (E, B, outputs)."""
    given = statistics if learner.normalisation == "support" else None
    features, _ = forward_stacked(learner.network, _body(params), x, given)
    return apply_head(params, features)


def _check_mask(learner: Learner, support: Examples) -> None:
    if support.mask is not None and normalises(learner.network):
        raise ValueError("expected no mask, as this network normalises by all of a support set")


def _start(learner: Learner, theta: Params, support: Examples, outputs: int) -> Params:
    """θ for every episode, views of the one, and the head's start."""
    body = {name: _shared(value, len(support.x)) for name, value in _body(theta).items()}
    if learner.head.kind == "linear":
        return body | start_head(learner.head, theta, support.x, support, outputs)
    features, _ = _on_support(learner, body, support.x)
    return body | start_head(learner.head, theta, features, support, outputs)


def _shared(value: Tensor, episodes: int) -> Tensor:
    """(E, …) views of one tensor; filters lie in memory as the stacked convolution takes them."""
    value = as_matrices(value) if value.dim() == 4 else value
    return value.expand(episodes, *value.shape)


def _losses_of(learner: Learner, phi: Params, support: Examples, adapts: Adapts) -> _Losses:
    """From the parameters that move to the support losses and the statistics there."""
    kind = learner.kind
    if adapts == "head":  # the features stay, so they are computed once
        features, statistics = _on_support(learner, _body(phi), support.x)
        return lambda head: (kind.losses(apply_head(head, features), support), statistics)

    def losses_at(moved: Params) -> tuple[Tensor, Statistics]:
        at = phi | moved
        features, statistics = _on_support(learner, _body(at), support.x)
        return kind.losses(apply_head(at, features), support), statistics

    return losses_at


def _on_support(learner: Learner, body: Params, x: Tensor) -> tuple[Tensor, Statistics]:
    return forward_stacked(learner.network, body, x, prior=_prior(learner))


def _prior(learner: Learner) -> Prior | None:
    return learner.prior if learner.normalisation == "support" else None


def _is_written(learner: Learner, recipe: InnerLoop, *, meta: bool) -> bool:
    """Whether the gradient is wanted for itself, of a network that is a row of layers."""
    return not meta and recipe.adapts != "head" and is_stackable(learner.network)


def _written_gradient(learner: Learner, phi: Params, support: Examples) -> tuple[Point, Params]:
    """The same as ``_gradient`` without a graph."""
    assert is_stackable(learner.network)
    with torch.no_grad():
        layers = RecordedLayers(params=_body(phi), prior=_prior(learner))
        features = learner.network.stacked(layers, support.x)
        outputs = apply_head(phi, features)
        losses, for_outputs = learner.kind.losses_back(outputs, support)
        layers.rewind(torch.bmm(for_outputs, phi[WEIGHT]))
        head = {WEIGHT: torch.bmm(for_outputs.mT, features), BIAS: for_outputs.sum(dim=1)}
    return Point(phi, layers.used, losses), layers.gradients | head


def _gradient(
    losses_at: _Losses, phi: Params, moved: Params, *, meta: bool, first: bool
) -> tuple[Point, Params]:
    """This point, and the gradient of each episode's loss in its own parameters that move.

    meta: a graph through θ is kept; first: but not through the gradient, which is a constant then.
    """
    with torch.enable_grad():
        at = {name: _variable(value) for name, value in moved.items()}
        losses, statistics = losses_at(at)
        gradients = torch.autograd.grad(
            losses.sum(),
            list(at.values()),
            create_graph=meta and not first,
            retain_graph=meta,
            materialize_grads=True,
        )
    if not meta:
        losses = losses.detach()
        statistics = {name: value.detach() for name, value in statistics.items()}
    return Point(phi, statistics, losses), dict(zip(at, gradients, strict=True))


def _variable(value: Tensor) -> Tensor:
    """The same numbers as a variable of its own: a head that came from the body is not its function
    in the inner gradient.
    """
    return value.view_as(value) if value.requires_grad else value.detach().requires_grad_()


def _inner_step(
    params: Params, gradient: Params, recipe: InnerLoop, step: int, scale: Tensor | None
) -> Params:
    """One gradient step of every episode (Algorithm 2, line 7), by a share (E,) of its size."""
    moved = {}
    for name, param in params.items():
        size = _size(recipe, name, param, step)
        if scale is not None:
            size = size * scale.view(-1, *(1,) * (param.dim() - 1))
        moved[name] = _moved(param, gradient[name], size)
    return moved


def _moved(param: Tensor, gradient: Tensor, size: float | Tensor) -> Tensor:
    """param - size · gradient, in one pass over memory."""
    if isinstance(size, Tensor):
        return torch.addcmul(param, gradient, size, value=-1)
    return torch.sub(param, gradient, alpha=size)


def _size(recipe: InnerLoop, name: str, param: Tensor, step: int) -> float | Tensor:
    """A number for all, one per episode, or learned ones; they broadcast to (E, …)."""
    if recipe.step_sizes:
        learned = recipe.step_sizes[name]
        size = learned[min(step, len(learned) - 1)]
        return size if size.dim() == 0 else size[: param.shape[1]]  # a head may use fewer rows
    size_E = recipe.step_size
    if isinstance(size_E, Tensor):
        return size_E.view(-1, *(1,) * (param.dim() - 1))
    return size_E


def _body(params: Params) -> Params:
    return {name: value for name, value in params.items() if not name.startswith("head.")}
