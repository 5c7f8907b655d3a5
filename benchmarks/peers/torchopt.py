"""TorchOpt 0.7.3 in three ways, of which the fastest counts.

``TorchOpt MetaSGD`` is its examples/few-shot/maml_omniglot.py, ``TorchOpt`` its functional ``sgd``
in a loop over tasks, and ``TorchOpt vmap`` its examples/FuncTorch/maml_omniglot_vmap.py: the
functional ``sgd`` under torch's vmap over all tasks (in that example for training; here also for
adapting).
"""

import torch
import torchopt
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from benchmarks.peers import Adapting, OuterStep, Peer
from models.episodes import Episodes
from models.normalisation import Params

Values = tuple[Tensor, ...]


def adapting_with_meta_sgd(network: nn.Module, steps: int, step_size: float) -> Adapting:
    """MetaSGD moves the network itself; its state is put back after every task."""
    inner = torchopt.MetaSGD(network, lr=step_size)

    def one(x: Tensor, y: Tensor) -> Params:
        before = torchopt.extract_state_dict(network, by="reference")
        state = torchopt.extract_state_dict(inner, by="reference")
        for _ in range(steps):
            inner.step(F.cross_entropy(network(x), y))
        phi = {name: value.detach() for name, value in network.named_parameters()}
        torchopt.recover_state_dict(network, before)
        torchopt.recover_state_dict(inner, state)
        return phi

    return lambda x_ES, y_ES: [one(x, y) for x, y in zip(x_ES, y_ES, strict=True)]


def outer_step_with_meta_sgd(
    network: nn.Module, optimiser: torch.optim.Optimizer, step_size: float
) -> OuterStep:
    """The example's loop, but for the backward pass of each task as soon as its loss is there."""
    inner = torchopt.MetaSGD(network, lr=step_size)

    def step(episodes: Episodes) -> None:
        optimiser.zero_grad()
        before = torchopt.extract_state_dict(network, by="reference")
        state = torchopt.extract_state_dict(inner, by="reference")
        for e in range(len(episodes)):
            inner.step(F.cross_entropy(network(episodes.support_x[e]), episodes.support_y[e]))
            loss = F.cross_entropy(network(episodes.query_x[e]), episodes.query_y[e])
            (loss / len(episodes)).backward()
            torchopt.recover_state_dict(network, before)
            torchopt.recover_state_dict(inner, state)
        optimiser.step()

    return step


def adapting(network: nn.Module, steps: int, step_size: float) -> Adapting:
    """The functional optimiser, updating a task's own copy of the parameters in place."""
    names, theta = _split(network)
    inner = torchopt.sgd(lr=step_size)

    def one(x: Tensor, y: Tensor) -> Params:
        phi = tuple(value.detach().clone().requires_grad_() for value in theta)
        state = inner.init(phi)
        for _ in range(steps):
            gradient = torch.autograd.grad(_loss(network, names, phi, x, y), phi)
            updates, state = inner.update(gradient, state, inplace=True)
            phi = torchopt.apply_updates(phi, updates, inplace=True)
        return dict(zip(names, phi, strict=True))

    return lambda x_ES, y_ES: [one(x, y) for x, y in zip(x_ES, y_ES, strict=True)]


def outer_step(network: nn.Module, optimiser: torch.optim.Optimizer, step_size: float) -> OuterStep:
    """The functional optimiser out of place, so that it can be differentiated."""
    names, theta = _split(network)
    inner = torchopt.sgd(lr=step_size)

    def step(episodes: Episodes) -> None:
        optimiser.zero_grad()
        for e in range(len(episodes)):
            support = _loss(network, names, theta, episodes.support_x[e], episodes.support_y[e])
            gradient = torch.autograd.grad(support, theta, create_graph=True)
            updates, _ = inner.update(gradient, inner.init(theta), inplace=False)
            phi = torchopt.apply_updates(theta, updates, inplace=False)
            loss = _loss(network, names, phi, episodes.query_x[e], episodes.query_y[e])
            (loss / len(episodes)).backward()
        optimiser.step()

    return step


def adapting_with_vmap(network: nn.Module, steps: int, step_size: float) -> Adapting:
    """All tasks at once, without a graph through the steps."""
    names, theta = _split(network)
    inner = torchopt.sgd(lr=step_size)

    def one(x: Tensor, y: Tensor) -> Values:
        phi, state = theta, inner.init(theta)
        for _ in range(steps):
            gradient = grad(lambda at: _loss(network, names, at, x, y))(phi)
            updates, state = inner.update(gradient, state, inplace=False)
            phi = torchopt.apply_updates(phi, updates, inplace=False)
        return phi

    def all_of_them(x_ES: Tensor, y_ES: Tensor) -> list[Params]:
        with torch.no_grad():
            stacked = vmap(one)(x_ES, y_ES)
        return [dict(zip(names, phi, strict=True)) for phi in zip(*stacked, strict=True)]

    return all_of_them


def outer_step_with_vmap(
    network: nn.Module, optimiser: torch.optim.Optimizer, step_size: float
) -> OuterStep:
    """The example's outer step: the losses of all tasks, then one backward pass."""
    names, theta = _split(network)
    inner = torchopt.sgd(lr=step_size)

    def query_loss(sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> Tensor:
        gradient = grad(lambda at: _loss(network, names, at, sx, sy))(theta)
        updates, _ = inner.update(gradient, inner.init(theta), inplace=False)
        phi = torchopt.apply_updates(theta, updates, inplace=False)
        return _loss(network, names, phi, qx, qy)

    def step(episodes: Episodes) -> None:
        optimiser.zero_grad()
        losses = vmap(query_loss)(
            episodes.support_x, episodes.support_y, episodes.query_x, episodes.query_y
        )
        losses.mean().backward()
        optimiser.step()

    return step


def _split(network: nn.Module) -> tuple[tuple[str, ...], Values]:
    named = dict(network.named_parameters())
    return tuple(named), tuple(named.values())


def _loss(
    network: nn.Module, names: tuple[str, ...], values: Values, x: Tensor, y: Tensor
) -> Tensor:
    scores = functional_call(network, dict(zip(names, values, strict=True)), (x,))
    return F.cross_entropy(scores, y)


PEERS = [
    Peer(
        name="TorchOpt MetaSGD",
        adapting=adapting_with_meta_sgd,
        outer_step=outer_step_with_meta_sgd,
    ),
    Peer(name="TorchOpt", adapting=adapting, outer_step=outer_step),
    Peer(name="TorchOpt vmap", adapting=adapting_with_vmap, outer_step=outer_step_with_vmap),
]
