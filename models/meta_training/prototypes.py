"""Prototypical pretraining (Snell et al. 2017): features whose class means tell classes apart.

ProtoMAML starts its head from class means, so a body that is good at them is where meta-training
begins. Every picture of an episode is support and query in turn, which makes far more of each one
than a fixed half of them as support.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.episodes import Episodes
from models.learner import Learner
from models.normalisation import forward_together
from models.outer_loop import MetaParams, OuterResult, check_finite


def prototype_loss(features: Tensor, y: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy and accuracy over every way to choose one support example per class.

    features: (N, P, D) of P examples of N classes; y is their order. Support choice i takes the
    i-th example of every class as its prototype, with all others as queries; the scores are
    -scale · |f - c|² (Snell et al. 2017, eq. 2 with one shot).
    """
    way, examples, _ = features.shape
    flat = features.flatten(0, 1)
    square = flat.square().sum(dim=1)
    scores = -scale * (square[:, None] + square[None] - 2 * flat @ flat.T)
    by_choice = scores.view(way, examples, way, examples).permute(3, 1, 0, 2)  # (i, P, N, N)
    queries = ~torch.eye(examples, dtype=torch.bool, device=features.device)
    chosen = by_choice[queries].flatten(0, 1)  # (P (P - 1) N, N)
    labels = y.repeat(len(chosen) // way)
    return F.cross_entropy(chosen, labels), (chosen.argmax(dim=1) == labels).float().mean()


def prototype_step(
    learner: Learner, meta: MetaParams, episodes: Episodes, optimiser: torch.optim.Optimizer
) -> OuterResult:
    """One update of θ on the pictures of each episode, normalised by themselves."""
    optimiser.zero_grad(set_to_none=True)
    loss = score = 0.0
    for e in range(len(episodes)):
        pictures = by_class(episodes, e)
        features = forward_together(learner.network, meta.theta, pictures.flatten(0, 1))
        labels = torch.arange(episodes.outputs, device=pictures.device)
        stacked = features.view(*pictures.shape[:2], -1)
        one, right = prototype_loss(stacked, labels, learner.head.scale)
        (one / len(episodes)).backward()  # type: ignore[no-untyped-call]
        loss += one.item() / len(episodes)
        score += right.item() / len(episodes)
    check_finite(loss, meta)
    optimiser.step()
    return OuterResult(loss=loss, score=score)


def by_class(episodes: Episodes, e: int) -> Tensor:
    """(N, K + Q, …) examples of one episode, support and query together, class by class."""
    x = torch.cat([episodes.support_x[e], episodes.query_x[e]])
    y = torch.cat([episodes.support_y[e], episodes.query_y[e]])
    order = y.argsort(stable=True)
    return x[order].view(episodes.outputs, -1, *x.shape[1:])
