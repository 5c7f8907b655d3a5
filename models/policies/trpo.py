"""The outer step of meta-trained policies: a trust region in what the adapted policies do (Schulman
et al. 2015, as Finn et al. 2017 have it), with its derivatives written out.

With J = I − α H of each task, H the Hessian of its inner surrogate, the meta-gradient is the mean
of J g and the curvature of the mean KL the mean of J F J, F the Fisher matrix of the adapted
policy: at the point that the step starts from this is exact, and no third derivative is taken.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from models.normalisation import Params
from models.policies.distributions import Distribution
from models.policies.inner_step import leaves_of, step, surrogate
from models.policies.policy import Policy
from models.policies.rollouts import Rollouts, mean_of_steps

MAX_KL: Final = 0.01
CG_STEPS: Final = 10
DAMPING: Final = 1e-5
BACKTRACK: Final = 0.8
MAX_BACKTRACKS: Final = 15
CURVATURE_SHARE: Final = 4  # a quarter of the episodes

Vector = Tensor  # (P,) the numbers of θ one after the other
Rows = Tensor  # (E, P)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What an outer step learns from: E tasks' rollouts under θ, and under each φ, with their
    advantages (E, B, T).
    """

    before: Rollouts
    before_values: Tensor
    after: Rollouts
    after_values: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class OuterStep:
    """theta: the new one, or the old one where no shorter step was good; kl: of the adapted
    policies, the mean over the tasks; improved: of the surrogate.
    """

    theta: Params
    kl: float
    improved: float
    backtracks: int


def trpo_step(
    policy: Policy, theta: Params, played: Played, step_size: float, *, max_kl: float = MAX_KL
) -> OuterStep:
    """θ after one outer step, its adapted policies at most ``max_kl`` from what they were."""
    tasks = len(played.before.rewards)
    acted = _said(policy, stacked(theta, tasks), played.before).log_probs(played.before.actions)
    phi = step(policy, stacked(theta, tasks), played.before, played.before_values, step_size)
    old = _said(policy, phi, played.after)
    gradient = meta_gradient(policy, theta, phi, played, step_size)
    curvature = curvature_of(policy, theta, phi, played, step_size)
    direction = conjugate_gradient(curvature, gradient)
    length = torch.sqrt(2 * max_kl / (direction @ curvature(direction)).clamp(min=1e-12))
    start = outer_loss(policy, phi, played, old)[0]
    for backtracks in range(MAX_BACKTRACKS):
        moved = flat(theta) - length * BACKTRACK**backtracks * direction
        tried = unflat(moved, theta)
        adapted = step(
            policy, stacked(tried, tasks), played.before, played.before_values, step_size, acted
        )
        loss, kl = outer_loss(policy, adapted, played, old)
        if loss < start and kl <= max_kl:
            return OuterStep(theta=tried, kl=kl, improved=start - loss, backtracks=backtracks)
    return OuterStep(theta=theta, kl=0.0, improved=0.0, backtracks=MAX_BACKTRACKS)


def outer_loss(
    policy: Policy, phi: Params, played: Played, old: Distribution
) -> tuple[float, float]:
    """−mean(π / π_old · A) and KL(old ‖ φ) on the rollouts after the step, means over tasks."""
    mask = played.after.mask
    with torch.no_grad():
        said = _said(policy, phi, played.after)
        ratio = (said.log_probs(played.after.actions) - old.log_probs(played.after.actions)).exp()
        loss = -mean_of_steps(ratio * played.after_values, mask).mean()
        kl = mean_of_steps(said.kl_from(old), mask).mean()  # type: ignore[arg-type]
    return float(loss), float(kl)


def meta_gradient(
    policy: Policy, theta: Params, phi: Params, played: Played, step_size: float
) -> Vector:
    """(P,) of the outer surrogate in θ: the mean of (I − α H) g."""
    leaves = leaves_of(phi)
    with torch.enable_grad():
        losses = surrogate(policy, leaves, played.after, played.after_values)
        gradient = torch.autograd.grad(losses.sum(), list(leaves.values()))
    rows = _rows(gradient)
    hessian = _hessian(policy, theta, played.before, played.before_values)
    return (rows - step_size * hessian(rows)).mean(dim=0)


def curvature_of(
    policy: Policy, theta: Params, phi: Params, played: Played, step_size: float
) -> Callable[[Vector], Vector]:
    """v ↦ mean of J F J v, with damping, from a quarter of the episodes."""
    some = max(1, -(-played.before.rewards.shape[1] // CURVATURE_SHARE))
    hessian = _hessian(policy, theta, played.before.some(some), played.before_values[:, :some])
    fisher = _fisher(policy, phi, played.after.some(some))

    def product(vector: Vector) -> Vector:
        rows = vector.expand(len(played.before.rewards), -1)
        rows = rows - step_size * hessian(rows)
        rows = fisher(rows)
        rows = rows - step_size * hessian(rows)
        return rows.mean(dim=0) + DAMPING * vector

    return product


def conjugate_gradient(product: Callable[[Vector], Vector], target: Vector) -> Vector:
    """x with A x ≈ target, in at most CG_STEPS products."""
    x, residual = torch.zeros_like(target), target.clone()
    direction, left = residual.clone(), residual @ residual
    for _ in range(CG_STEPS):
        if left < 1e-10:
            break
        turned = product(direction)
        along = left / (direction @ turned)
        x = x + along * direction
        residual = residual - along * turned
        now = residual @ residual
        direction, left = residual + (now / left) * direction, now
    return x


def stacked(theta: Params, tasks: int) -> Params:
    """θ for each of E tasks."""
    return {name: value.expand(tasks, *value.shape) for name, value in theta.items()}


def flat(params: Params) -> Vector:
    return torch.cat([params[name].flatten() for name in params])


def unflat(vector: Vector, like: Params) -> Params:
    """A vector as parameters of these names and shapes."""
    parts = torch.split(vector, [value.numel() for value in like.values()])
    return {
        name: part.view(value.shape)
        for (name, value), part in zip(like.items(), parts, strict=True)
    }


def _said(policy: Policy, params: Params, rollouts: Rollouts) -> Distribution:
    with torch.no_grad():
        return policy(params, rollouts.observations[:, :, :-1])


def _hessian(
    policy: Policy, theta: Params, rollouts: Rollouts, values: Tensor
) -> Callable[[Rows], Rows]:
    """(E, P) rows v ↦ H v, H of each task's inner surrogate at θ."""
    leaves = leaves_of(stacked(theta, len(rollouts.rewards)))
    with torch.enable_grad():
        losses = surrogate(policy, leaves, rollouts, values)
        slopes = torch.autograd.grad(losses.sum(), list(leaves.values()), create_graph=True)
    return _product(list(leaves.values()), slopes)


def _fisher(policy: Policy, phi: Params, rollouts: Rollouts) -> Callable[[Rows], Rows]:
    """(E, P) rows v ↦ F v: the Hessian of KL(φ ‖ ·) at φ."""
    leaves = leaves_of(phi)
    with torch.enable_grad():
        said = policy(leaves, rollouts.observations[:, :, :-1])
        apart = said.kl_from(said.detached())  # type: ignore[arg-type]
        losses = mean_of_steps(apart, rollouts.mask)
        slopes = torch.autograd.grad(losses.sum(), list(leaves.values()), create_graph=True)
    return _product(list(leaves.values()), slopes)


def _product(leaves: Sequence[Tensor], slopes: Sequence[Tensor]) -> Callable[[Rows], Rows]:
    sizes = [leaf[0].numel() for leaf in leaves]
    rows = _rows(slopes)

    def product(vectors: Rows) -> Rows:
        with torch.enable_grad():
            along = (rows * vectors.detach()).sum()
            found = torch.autograd.grad(along, leaves, retain_graph=True, materialize_grads=True)
        return _rows(found)

    assert rows.shape[1] == sum(sizes)
    return product


def _rows(tensors: Sequence[Tensor]) -> Rows:
    return torch.cat([tensor.flatten(1) for tensor in tensors], dim=1)
