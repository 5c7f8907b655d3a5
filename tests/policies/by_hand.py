"""A policy's mathematics once more, with torch.distributions and autograd, a task at a time."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from models.normalisation import Params
from models.policies.rollouts import Rollouts
from models.policies.trpo import Played


def said(theta: Params, observations: Tensor) -> Any:
    """What one policy (no leading axis) does: two hidden layers, and a linear one."""
    hidden = torch.relu(observations @ theta["linears.0.weight"].T + theta["linears.0.bias"])
    hidden = torch.relu(hidden @ theta["linears.1.weight"].T + theta["linears.1.bias"])
    outputs = hidden @ theta["head.weight"].T + theta["head.bias"]
    if "head.log_std" not in theta:
        return Categorical(logits=outputs)
    return Independent(Normal(outputs, theta["head.log_std"].exp().expand_as(outputs)), 1)


def one(params: Params, task: int) -> Params:
    return {name: value[task].detach() for name, value in params.items()}


def leaves(theta: Params) -> Params:
    return {name: value.detach().clone().requires_grad_() for name, value in theta.items()}


def weighted(theta: Params, rollouts: Rollouts, values: Tensor, task: int, old: Params) -> Tensor:
    """−mean(π / π_old · A) of a task, over the steps that count."""
    seen, acted = rollouts.observations[task, :, :-1], rollouts.actions[task]
    ratio = (said(theta, seen).log_prob(acted) - said(old, seen).log_prob(acted).detach()).exp()
    return -(ratio * values[task])[rollouts.mask[task]].mean()


def adapted(theta: Params, played: Played, step_size: float, task: int, old: Params) -> Params:
    """φ of a task as a function of θ; its rollouts were made with ``old``."""
    loss = weighted(theta, played.before, played.before_values, task, old)
    slopes = torch.autograd.grad(loss, list(theta.values()), create_graph=True)
    return {n: v - step_size * g for (n, v), g in zip(theta.items(), slopes, strict=True)}


def outer(
    theta: Params, played: Played, step_size: float, old: Params, phi: Params
) -> tuple[Tensor, Tensor]:
    """The outer surrogate and the mean KL as functions of θ; ``old`` and ``phi`` (E, …) acted."""
    losses, apart = list[Tensor](), list[Tensor]()
    for task in range(len(played.after.rewards)):
        now, then = adapted(theta, played, step_size, task, old), one(phi, task)
        losses.append(weighted(now, played.after, played.after_values, task, then))
        seen = played.after.observations[task, :, :-1]
        each = kl_divergence(said(then, seen), said(now, seen))
        apart.append(each[played.after.mask[task]].mean())
    return torch.stack(losses).mean(), torch.stack(apart).mean()


def flat(tensors: Any) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])
