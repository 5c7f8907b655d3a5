"""MAML as one would write it down first: a Python loop over episodes, steps and modules.

What the stacked engine is held to, in results by tests and in speed by benchmarks. One episode at a
time through the network's own modules (``F.conv2d`` and friends) and ``torch.autograd.grad``.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.episodes import Episodes
from models.learner import InnerLoop, Learner
from models.normalisation import Params, Statistics, forward


def adapt(
    learner: Learner, theta: Params, x: Tensor, y: Tensor, recipe: InnerLoop, *, outputs: int
) -> tuple[Params, Statistics, list[Tensor]]:
    """φ, the support statistics at φ and the losses on the way, for one support set (S, …).

    Differentiable in θ where θ requires it; step_size must be a number.
    """
    meta = any(value.requires_grad for value in theta.values())
    phi = {name: value if meta else value.detach() for name, value in theta.items()}
    phi |= _start_of_head(learner, phi, x, y, outputs)
    losses = []
    for _ in range(recipe.steps):
        # variables of their own: the head came from the body, but is not its function here
        at = {n: p.clone() if meta else p.detach().requires_grad_() for n, p in phi.items()}
        loss, _ = _support_loss(learner, at, x, y)
        gradients = torch.autograd.grad(loss, list(at.values()), create_graph=meta)
        moved = zip(at.items(), gradients, strict=True)
        phi = {name: value - recipe.step_size * gradient for (name, value), gradient in moved}
        phi = phi if meta else {name: value.detach() for name, value in phi.items()}
        losses.append(loss.detach())
    loss, statistics = _support_loss(learner, phi, x, y)
    return phi, statistics, [*losses, loss.detach()]


def outer_loss(learner: Learner, theta: Params, episodes: Episodes, recipe: InnerLoop) -> Tensor:
    """The mean query loss after adaptation, with a graph through the inner steps to θ."""
    losses = []
    for e in range(len(episodes)):
        support = (episodes.support_x[e], episodes.support_y[e])
        phi, statistics, _ = adapt(learner, theta, *support, recipe, outputs=episodes.outputs)
        given = statistics if learner.normalisation == "support" else None
        features, _ = forward(learner.network, _body(phi), episodes.query_x[e], given)
        losses.append(_loss(learner, phi, features, episodes.query_y[e]))
    return torch.stack(losses).mean()


def _support_loss(learner: Learner, phi: Params, x: Tensor, y: Tensor) -> tuple[Tensor, Statistics]:
    prior = learner.prior if learner.normalisation == "support" else None
    features, statistics = forward(learner.network, _body(phi), x, prior=prior)
    return _loss(learner, phi, features, y), statistics


def _loss(learner: Learner, phi: Params, features: Tensor, y: Tensor) -> Tensor:
    scores = F.linear(features, phi["head.weight"], phi["head.bias"])
    return F.cross_entropy(scores, y) if learner.task == "classification" else F.mse_loss(scores, y)


def _start_of_head(
    learner: Learner, theta: Params, x: Tensor, y: Tensor, outputs: int
) -> dict[str, Tensor]:
    if learner.head.kind == "linear":
        return {n: theta[n][:outputs] for n in ("head.weight", "head.bias")}
    prior = learner.prior if learner.normalisation == "support" else None
    features, _ = forward(learner.network, _body(theta), x, prior=prior)
    means = torch.stack([features[y == label].mean(dim=0) for label in range(outputs)])
    scale = learner.head.scale
    return {"head.weight": 2 * scale * means, "head.bias": -scale * (means * means).sum(dim=1)}


def _body(params: Params) -> Params:
    return {name: value for name, value in params.items() if not name.startswith("head.")}
