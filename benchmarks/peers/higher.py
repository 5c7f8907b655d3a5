"""higher 0.2.1, as its README and its examples/maml-omniglot.py use it."""

import higher
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peers import Adapting, OuterStep, Peer
from models.episodes import Episodes
from models.normalisation import Params


def adapting(network: nn.Module, steps: int, step_size: float) -> Adapting:
    """Its test loop: an inner-loop context per task that tracks no higher gradients."""
    inner = torch.optim.SGD(network.parameters(), lr=step_size)
    names = [name for name, _ in network.named_parameters()]

    def one(x: Tensor, y: Tensor) -> Params:
        context = higher.innerloop_ctx(network, inner, track_higher_grads=False)
        with context as (functional, differentiable):
            for _ in range(steps):
                differentiable.step(F.cross_entropy(functional(x), y))
            return dict(zip(names, functional.parameters(), strict=True))

    return lambda x_ES, y_ES: [one(x, y) for x, y in zip(x_ES, y_ES, strict=True)]


def outer_step(network: nn.Module, optimiser: torch.optim.Optimizer, step_size: float) -> OuterStep:
    """Its training loop: every task's query loss is differentiated as soon as it is there."""
    inner = torch.optim.SGD(network.parameters(), lr=step_size)

    def step(episodes: Episodes) -> None:
        optimiser.zero_grad()
        for e in range(len(episodes)):
            context = higher.innerloop_ctx(network, inner, copy_initial_weights=False)
            with context as (functional, differentiable):
                support = functional(episodes.support_x[e])
                differentiable.step(F.cross_entropy(support, episodes.support_y[e]))
                query = functional(episodes.query_x[e])
                loss = F.cross_entropy(query, episodes.query_y[e])
                (loss / len(episodes)).backward()
        optimiser.step()

    return step


PEERS = [Peer(name="higher", adapting=adapting, outer_step=outer_step)]
