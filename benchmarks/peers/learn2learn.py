"""learn2learn 0.2.0's MAML, as its examples/vision/maml_omniglot.py and anil_fc100.py use it."""

import torch
from learn2learn.algorithms.maml import MAML
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peers import Adapting, OuterStep, Peer
from benchmarks.peers.network import PlainConv4
from models.episodes import Episodes
from models.normalisation import Params


def adapting(network: nn.Module, steps: int, step_size: float) -> Adapting:
    """A first-order clone per task, adapted by its loss."""
    maml = MAML(network, lr=step_size, first_order=True)

    def one(x: Tensor, y: Tensor) -> Params:
        learner = maml.clone()
        for _ in range(steps):
            learner.adapt(F.cross_entropy(learner(x), y))
        return dict(learner.module.named_parameters())

    return lambda x_ES, y_ES: [one(x, y) for x, y in zip(x_ES, y_ES, strict=True)]


def anil(network: PlainConv4, steps: int, step_size: float) -> Adapting:
    """MAML of the head, whose clone a task adapts on features that are computed once.

    No graph leads into the body, which the example needs for its outer loop alone.
    """
    network.blocks.requires_grad_(False)
    body = {n: p for n, p in network.named_parameters() if not n.startswith("head.")}
    maml = MAML(network.head, lr=step_size, first_order=True)

    def one(x: Tensor, y: Tensor) -> Params:
        learner, features = maml.clone(), network.features(x)
        for _ in range(steps):
            learner.adapt(F.cross_entropy(learner(features), y))
        return body | {f"head.{name}": p for name, p in learner.module.named_parameters()}

    return lambda x_ES, y_ES: [one(x, y) for x, y in zip(x_ES, y_ES, strict=True)]


def outer_step(network: nn.Module, optimiser: torch.optim.Optimizer, step_size: float) -> OuterStep:
    """A second-order clone per task; the mean is taken of the gradients, as in the example."""
    maml = MAML(network, lr=step_size, first_order=False)

    def step(episodes: Episodes) -> None:
        optimiser.zero_grad()
        for e in range(len(episodes)):
            learner = maml.clone()
            support = learner(episodes.support_x[e])
            learner.adapt(F.cross_entropy(support, episodes.support_y[e]))
            query = learner(episodes.query_x[e])
            F.cross_entropy(query, episodes.query_y[e]).backward()
        for parameter in maml.parameters():
            parameter.grad.mul_(1 / len(episodes))
        optimiser.step()

    return step


PEERS = [Peer(name="learn2learn", adapting=adapting, outer_step=outer_step, anil=anil)]
