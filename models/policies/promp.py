"""The other outer step: several Adam steps on a clipped surrogate (ProMP, Rothfuss et al. 2019,
equation 13), differentiated through the inner step.
"""

from typing import Final

import torch
from torch import Tensor

from models.normalisation import Params
from models.policies.inner_step import surrogate
from models.policies.policy import Policy
from models.policies.rollouts import mean_of_steps
from models.policies.trpo import Played, stacked

CLIP: Final = 0.3
EPOCHS: Final = 5
INNER_KL: Final = 5e-4


def promp_step(
    policy: Policy,
    theta: Params,
    played: Played,
    step_size: float,
    optimiser: torch.optim.Optimizer,
) -> float:
    """Changes θ, leaves that the optimiser knows, in place; the last surrogate."""
    mask, tasks = played.after.mask, len(played.after.rewards)
    seen, acted = played.after.observations[:, :, :-1], played.after.actions
    with torch.no_grad():
        first = policy(stacked(theta, tasks), played.before.observations[:, :, :-1]).detached()
        acted_before = first.log_probs(played.before.actions)
    phi = _adapted(policy, theta, played, step_size, acted_before)
    old = policy(phi, seen).log_probs(acted).detach()
    loss = torch.zeros(())
    for _ in range(EPOCHS):
        phi = _adapted(policy, theta, played, step_size, acted_before)
        ratio = (policy(phi, seen).log_probs(acted) - old).exp()
        cut = ratio.clamp(1 - CLIP, 1 + CLIP)
        gain = torch.minimum(ratio * played.after_values, cut * played.after_values)
        now = policy(stacked(theta, tasks), played.before.observations[:, :, :-1])
        moved = mean_of_steps(now.kl_from(first), played.before.mask)  # type: ignore[arg-type]
        loss = (INNER_KL * moved - mean_of_steps(gain, mask)).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return float(loss.detach())


def _adapted(
    policy: Policy, theta: Params, played: Played, step_size: float, old: Tensor
) -> Params:
    """φ of every task, with the graph that leads to θ; old: as of ``surrogate``."""
    start = stacked(theta, len(played.before.rewards))
    losses = surrogate(policy, start, played.before, played.before_values, old)
    slopes = torch.autograd.grad(losses.sum(), list(start.values()), create_graph=True)
    return {
        name: value - step_size * slope
        for (name, value), slope in zip(start.items(), slopes, strict=True)
    }
