"""The inner loop: from θ and one support set to φ (Finn et al. 2017, Algorithm 2, lines 5 to 8).

Written for E episodes at once, of one tenant or of many: parameters lead with (E,), and the
gradient of the summed losses is every episode's own. Step sizes are for the mean loss over a
support set.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from models.engine.backward import RecordedLayers
from models.engine.layers import is_stackable
from models.engine.patches import as_matrices
from models.episodes import Examples
from models.guard import Guard, Point
from models.heads.applying import apply_head
from models.heads.bayesian import posterior
from models.heads.kernel import are_single, fit_kernel, start_again
from models.heads.layer import BIAS, WEIGHT, linear_scores, start_head
from models.heads.steady import steady_steps
from models.learner import (
    Adapted,
    Adapts,
    InnerLoop,
    Learner,
    body_of,
    episode_of,
    known_of,
    on_support,
    prior_of,
)
from models.normalisation import EpisodeNorm, Params, Statistics, normalises

_Losses = Callable[[Params], tuple[Tensor, Statistics]]


def adapt(
    learner: Learner, theta: Params, support: Examples, recipe: InnerLoop, *, outputs: int
) -> Adapted:
    """Move θ to φ by the recipe on one support set, whose arrays are (S, …)."""
    one = support.each(lambda array: array[None])
    return episode_of(adapt_episodes(learner, theta, one, recipe, outputs=outputs), 0)


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
    each, size, last = list[Tensor](), None, None
    for point in walk(learner, theta, support, recipe, outputs=outputs, progress=progress):
        each, size, last = [*each, point.losses], last and last.size, point
    assert last is not None
    phi = last.params | known_of(learner, last, support, recipe, outputs)
    if not recipe.on_features:  # there the body is θ's for all episodes
        phi = {name: value.contiguous() for name, value in phi.items()}
    losses = torch.stack(each, dim=1)
    return Adapted(params=phi, statistics=last.statistics, losses=losses, step_size=size)


def walk(
    learner: Learner,
    theta: Params,
    support: Examples,
    recipe: InnerLoop,
    *,
    outputs: int,
    progress: Callable[[], None] = lambda: None,
) -> Iterator[Point]:
    """The steps + 1 points from the start to φ (Algorithm 2, lines 5 to 7, step by step); progress
    as in ``adapt_episodes``.
    """
    learned = (*theta.values(), *recipe.step_sizes.values())
    meta = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in learned)
    _check_mask(learner, support)
    support = support.cleared()
    if recipe.on_features:
        asked = (learner, theta, support, recipe)
        yield from _walk_on_features(*asked, outputs=outputs, meta=meta, progress=progress)
        return
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
        scale = None if guard is None else guard.scale
        yield point._replace(size=_taken(recipe, scale, len(point.losses)))
        here = {name: point.params[name] for name in moving}
        phi = point.params | _inner_step(here, gradient, recipe, step, scale)
        progress()
    losses, statistics = losses_at({name: phi[name] for name in moving})
    last = Point(phi, statistics, losses)
    yield last if guard is None else guard.keep(last, {})[0]


def moves(network: nn.Module, name: str, adapts: Adapts) -> bool:
    """Whether the inner loop changes the parameter of this name."""
    if adapts == "all" or name in (WEIGHT, BIAS):
        return True
    if adapts == "head":
        return False
    return not isinstance(network.get_submodule(name.rpartition(".")[0]), EpisodeNorm)


def _walk_on_features(
    learner: Learner,
    theta: Params,
    support: Examples,
    recipe: InnerLoop,
    *,
    outputs: int,
    meta: bool,
    progress: Callable[[], None],
) -> Iterator[Point]:
    """The same where the body stays θ's, and its features are computed once."""
    body = {name: _shared(value, len(support.x)) for name, value in body_of(theta).items()}
    features, statistics = on_support(learner, body, support.x)
    start = start_head(learner.head, theta, features, support, outputs)
    if recipe.adapts == "kernel":
        heads = _fitted(learner, start, features, support)
    elif recipe.adapts == "bayesian":
        heads = _conditioned(learner, theta, features, support)
    else:
        heads = _steady(learner, start, features, support, recipe, meta=meta)
    for step, (head, losses, size) in enumerate(heads):
        yield Point(body | head, statistics, losses, size, features)
        if step == recipe.steps:
            return
        progress()


def _steady(
    learner: Learner,
    start: Params,
    features: Tensor,
    support: Examples,
    recipe: InnerLoop,
    *,
    meta: bool,
) -> Iterator[tuple[Params, Tensor, Tensor | None]]:
    kind, outputs = learner.kind, start[BIAS].shape[1]
    curvature = kind.curvature(outputs)
    if curvature is None:
        raise ValueError(f"{kind.name} does not say how much its loss curves; adapt all of it")

    def back(scores: Tensor) -> tuple[Tensor, Tensor]:
        if not meta:
            return kind.losses_back(scores, support)
        losses = kind.losses(scores, support)
        graph, total = not recipe.first_order, losses.sum()
        (back,) = torch.autograd.grad(total, scores, create_graph=graph, retain_graph=True)
        return losses, back

    size = torch.as_tensor(recipe.step_size, device=features.device)
    return steady_steps(
        start,
        features,
        back,
        mask=support.mask,
        curvature=curvature,
        sizes=size.to(features.dtype).expand(len(features)),
    )


def _fitted(
    learner: Learner, start: Params, features: Tensor, support: Examples
) -> Iterator[tuple[Params, Tensor, Tensor | None]]:
    """The start and the kernel head that is fitted from there, never with a higher loss; where no
    class has a second example, none can be left out to fit anything by, and class means stay.
    """
    losses = learner.kind.losses(linear_scores(start, features), support)
    yield start, losses, None
    head = fit_kernel(start, features, support, losses)
    after = learner.kind.losses(apply_head(head, features, support.x), support)
    worse = ~(after <= losses)
    if learner.head.kind == "prototype":
        worse |= are_single(support, start[BIAS].shape[1])
    yield start_again(head, start, worse), torch.where(worse, losses, after), None


def _conditioned(
    learner: Learner, theta: Params, features: Tensor, support: Examples
) -> Iterator[tuple[Params, Tensor, Tensor | None]]:
    """The prior, and the posterior."""
    before = posterior(theta, features[:, :0], support["y"][:, :0])
    after = posterior(theta, features, support["y"], support.mask)
    for head in (before, after):
        yield head, learner.kind.losses(linear_scores(head, features), support), None


def _taken(recipe: InnerLoop, scale: Tensor | None, episodes: int) -> Tensor | None:
    """(E,) the size of the next steps; None where it is learned."""
    if recipe.step_sizes:
        return None
    size = torch.as_tensor(recipe.step_size).expand(episodes)
    return size if scale is None else size.to(scale.device) * scale


def _check_mask(learner: Learner, support: Examples) -> None:
    if support.mask is not None and normalises(learner.network):
        raise ValueError("expected no mask, as this network normalises by all of a support set")


def _start(learner: Learner, theta: Params, support: Examples, outputs: int) -> Params:
    """θ for every episode, views of the one, and the head's start."""
    body = {name: _shared(value, len(support.x)) for name, value in body_of(theta).items()}
    if learner.head.kind == "linear":
        return body | start_head(learner.head, theta, support.x, support, outputs)
    features, _ = on_support(learner, body, support.x)
    return body | start_head(learner.head, theta, features, support, outputs)


def _shared(value: Tensor, episodes: int) -> Tensor:
    """(E, …) views of one tensor; filters lie in memory as the stacked convolution takes them."""
    value = as_matrices(value) if value.dim() == 4 else value
    return value.expand(episodes, *value.shape)


def _losses_of(learner: Learner, phi: Params, support: Examples, adapts: Adapts) -> _Losses:
    """From the parameters that move to the support losses and the statistics there."""
    kind = learner.kind
    if adapts == "head":  # the features stay, so they are computed once
        features, statistics = on_support(learner, body_of(phi), support.x)
        return lambda head: (kind.losses(linear_scores(head, features), support), statistics)

    def losses_at(moved: Params) -> tuple[Tensor, Statistics]:
        at = phi | moved
        features, statistics = on_support(learner, body_of(at), support.x)
        return kind.losses(linear_scores(at, features), support), statistics

    return losses_at


def _is_written(learner: Learner, recipe: InnerLoop, *, meta: bool) -> bool:
    """Whether the gradient is wanted for itself, of a network that is a row of layers."""
    return not meta and recipe.adapts != "head" and is_stackable(learner.network)


def _written_gradient(learner: Learner, phi: Params, support: Examples) -> tuple[Point, Params]:
    """The same as ``_gradient`` without a graph."""
    assert is_stackable(learner.network)
    with torch.no_grad():
        layers = RecordedLayers(params=body_of(phi), prior=prior_of(learner))
        features = learner.network.stacked(layers, support.x)
        outputs = linear_scores(phi, features)
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
