"""How much better than usual each step was: discounted returns, a linear baseline that is fitted to
them, and generalised advantages (Schulman et al. 2016), of each task by itself.

The baseline is fitted to the very rollouts that it is taken from, as in the code of Finn et al.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from models.policies.rollouts import Rollouts, mean_of_steps

RIDGE: Final = 1e-5
LARGEST: Final = 10.0  # of an observation's numbers, for the baseline
UNIT: Final = 100.0  # steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Discounting:
    """max_episode_steps: an episode that was cut off there has ended, as in training; one that was
    cut off before goes on, as far as the baseline knows.
    """

    gamma: float
    gae_lambda: float
    max_episode_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Advantages:
    """values: (E, B, T), of mean 0 and deviation 1 over a task's steps, or all 0 where nothing
    tells better from worse; explained: (E,) the share of the returns' variance that the baseline
    explains; are_equal: (E,) whether every one of several episodes returned the same.
    """

    values: Tensor
    explained: Tensor
    are_equal: Tensor


def advantages(rollouts: Rollouts, how: Discounting) -> Advantages:
    """The advantage of every step, for the gradient of its logarithm."""
    mask = rollouts.mask
    returns = discounted(torch.where(mask, rollouts.rewards, 0).double(), how.gamma)
    features = baseline_features(rollouts.observations)
    expected = _fitted(features, returns, mask)  # (E, B, T + 1)
    following = expected[:, :, 1:] * _goes_on(rollouts, how)
    steps = rollouts.rewards.double() + how.gamma * following - expected[:, :, :-1]
    raw = discounted(torch.where(mask, steps, 0), how.gamma * how.gae_lambda)
    are_equal = _are_equal(rollouts)
    values = torch.where(are_equal[:, None, None], 0, _standardised(raw, mask))
    return Advantages(
        values=values.to(rollouts.rewards.dtype),
        explained=_explained(returns, expected[:, :, :-1], mask).to(rollouts.rewards.dtype),
        are_equal=are_equal,
    )


def discounted(values: Tensor, factor: float) -> Tensor:
    """(…, T) sums of what follows, each step's own included: y_t = x_t + factor · y_{t+1}."""
    sums = torch.empty_like(values)
    following = torch.zeros_like(values[..., 0])
    for step in reversed(range(values.shape[-1])):
        following = values[..., step] + factor * following
        sums[..., step] = following
    return sums


def baseline_features(observations: Tensor) -> Tensor:
    """(E, B, T + 1, D) -> (E, B, T + 1, 2 D + 4) float64: Duan et al. 2016."""
    seen = observations.double().clamp(-LARGEST, LARGEST)
    time = torch.arange(seen.shape[2], dtype=torch.float64, device=seen.device) / UNIT
    powers = torch.stack([time, time**2, time**3, torch.ones_like(time)], dim=-1)
    return torch.cat([seen, seen.square(), powers.expand(*seen.shape[:3], 4)], dim=-1)


def _fitted(features: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """(E, B, T + 1) the returns to expect: ridge regression of each task."""
    x = torch.where(mask[..., None], features[:, :, :-1], 0).flatten(1, 2)
    y = torch.where(mask, returns, 0).flatten(1)[..., None]
    ridge = RIDGE * torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    weights = torch.linalg.solve(x.mT @ x + ridge, x.mT @ y)
    fitted: Tensor = (features.flatten(1, 2) @ weights).view(features.shape[:-1])
    return fitted


def _goes_on(rollouts: Rollouts, how: Discounting) -> Tensor:
    """(E, B, T) 1 where a step's observation has a future, 0 where the episode ended with it."""
    steps = torch.arange(rollouts.rewards.shape[2], device=rollouts.rewards.device)
    is_last = steps == rollouts.lengths[..., None] - 1
    ended = rollouts.terminated | (rollouts.lengths >= how.max_episode_steps)
    return (~(is_last & ended[..., None])).double()


def _standardised(raw: Tensor, mask: Tensor) -> Tensor:
    mean = mean_of_steps(raw, mask)[:, None, None]
    centred = torch.where(mask, raw - mean, 0)
    deviation = mean_of_steps(centred.square(), mask).sqrt()[:, None, None]
    size = mean_of_steps(raw.abs(), mask)[:, None, None]
    tells = deviation > 1e-8 * size.clamp(min=1)  # else it is what rounding left
    return torch.where(tells, centred / (deviation + 1e-8), 0)


def _explained(returns: Tensor, expected: Tensor, mask: Tensor) -> Tensor:
    def variance(values: Tensor) -> Tensor:
        mean = mean_of_steps(values, mask)[:, None, None]
        return mean_of_steps((values - mean).square(), mask)

    whole = variance(returns)
    left = variance(returns - expected)
    return torch.where(whole > 0, 1 - left / whole.clamp(min=1e-30), 0)


def _are_equal(rollouts: Rollouts) -> Tensor:
    each = torch.where(rollouts.mask, rollouts.rewards, 0).sum(dim=2)
    there = rollouts.lengths > 0
    highest = torch.where(there, each, -torch.inf).amax(dim=1)
    lowest = torch.where(there, each, torch.inf).amin(dim=1)
    return (highest == lowest) & (there.sum(dim=1) > 1)
