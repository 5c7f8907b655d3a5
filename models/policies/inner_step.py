"""The inner step of a policy: one step up the policy gradient of its own rollouts (Finn et al.
2017, equation 4 and Algorithm 3).

One step for one set of rollouts: after it they are another policy's. Its surrogate is the
low-variance one of Rothfuss et al. 2019 (ProMP), whose gradient is the paper's and whose second
derivatives, unlike those of log π · A, are the curvature's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.heads.deviations import LOG_STD
from models.normalisation import Params
from models.policies.advantages import Discounting, advantages
from models.policies.policy import Policy
from models.policies.rollouts import Rollouts, mean_of_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """E policies one step on; every tensor leads with (E,).

    mean_return: of the rollouts, undiscounted; kl: KL(before ‖ after) on their observations;
    explained: of the returns' variance by the baseline; are_equal: whether no episode was better
    than another, and so nothing moved.
    """

    params: Params
    mean_return: Tensor
    kl: Tensor
    explained: Tensor
    are_equal: Tensor


def adapt_policies(
    policy: Policy,
    params: Params,
    rollouts: Rollouts,
    step_size: Tensor | float,
    how: Discounting,
) -> Stepped:
    """The policies (E, …) after one step on their own rollouts; step_size: one, or (E,)."""
    found = advantages(rollouts, how)
    after = step(policy, params, rollouts, found.values, step_size)
    with torch.no_grad():
        seen = rollouts.observations[:, :, :-1]
        moved = policy(after, seen).kl_from(policy(params, seen))  # type: ignore[arg-type]
        kl = mean_of_steps(moved, rollouts.mask)
    return Stepped(
        params=after,
        mean_return=rollouts.returns,
        kl=kl,
        explained=found.explained,
        are_equal=found.are_equal,
    )


def step(
    policy: Policy,
    params: Params,
    rollouts: Rollouts,
    values: Tensor,
    step_size: Tensor | float,
    old: Tensor | None = None,
) -> Params:
    """φ = θ − α ∇L, without a graph; values: (E, B, T) advantages; old: as of ``surrogate``."""
    with torch.enable_grad():
        leaves = leaves_of(params)
        losses = surrogate(policy, leaves, rollouts, values, old)
        gradient = torch.autograd.grad(losses.sum(), list(leaves.values()))
    return {
        name: (leaf - _sized(step_size, leaf) * slope).detach()
        for (name, leaf), slope in zip(leaves.items(), gradient, strict=True)
    }


def surrogate(
    policy: Policy,
    params: Params,
    rollouts: Rollouts,
    values: Tensor,
    old: Tensor | None = None,
) -> Tensor:
    """(E,) −mean(π / π_old · A) over the steps that count; old: (E, B, T) log-probabilities of the
    actions under the policies that acted, where those are not the very same.
    """
    log_probs = policy(params, rollouts.observations[:, :, :-1]).log_probs(rollouts.actions)
    ratio = (log_probs - (log_probs.detach() if old is None else old)).exp()
    return -mean_of_steps(ratio * values, rollouts.mask)


def leaves_of(params: Params) -> Params:
    """The same numbers, to be differentiated in."""
    return {name: value.detach().requires_grad_() for name, value in params.items()}


def deviations(params: Params) -> Tensor | None:
    """(E, A) standard deviations of Gaussian policies; None of discrete ones."""
    return params[LOG_STD].exp() if LOG_STD in params else None


def _sized(step_size: Tensor | float, like: Tensor) -> Tensor | float:
    if isinstance(step_size, float | int):
        return float(step_size)
    return step_size.view(-1, *[1] * (like.dim() - 1))
