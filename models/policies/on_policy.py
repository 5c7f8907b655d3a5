"""Whether rollouts are of the very policy that they are to improve, by their actions alone.

The mean of ((a − μ) / σ)² over the numbers of n Gaussian actions is χ²_n / n. Rollouts whose
actions were cut to bounds lie below it, deterministic ones at 0, those of a policy one step away
far above. Of discrete policies −log π is compared with its own expectation, between Chernoff's
bounds: the rare choices of a policy that is nearly sure are nothing like normally distributed.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from models.normalisation import Params
from models.policies.distributions import Categorical, Gaussian
from models.policies.policy import Policy
from models.policies.rollouts import Rollouts, mean_of_steps

SIGMAS: Final = 6.0  # of one in five hundred million of right ones
DOUBT: Final = math.log(1e9)  # the same, of each side
TILTS: Final = tuple(10 ** (exponent / 8) for exponent in range(-24, 9))
SLACK: Final = 0.02  # that float32, and rounding on the way, may add


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPolicy:
    """score: the mean squared z of a Gaussian policy, or the surprise over the expected one of a
    discrete policy; 1 where all is well. low and high: its bounds for so many actions.
    """

    score: float
    low: float
    high: float
    log_probs: Tensor

    @property
    def holds(self) -> bool:
        return self.low <= self.score <= self.high


def on_policy(policy: Policy, params: Params, rollouts: Rollouts) -> OnPolicy:
    """Of one policy, E = 1. log_probs: (B, T) of the actions under it."""
    with torch.no_grad():
        said = policy(params, rollouts.observations[:, :, :-1])
        log_probs = said.log_probs(rollouts.actions)
    mask = rollouts.mask
    if isinstance(said, Gaussian):
        z = (rollouts.actions - said.mean) / said.log_std.exp()
        score = float(mean_of_steps(z.double().square().mean(dim=-1), mask)[0])
        low, high = chi_squared_bounds(int(mask.sum()) * z.shape[-1])
    else:
        score, low, high = _surprise(said, log_probs, mask)
    return OnPolicy(score=score, low=low - SLACK, high=high + SLACK, log_probs=log_probs[0])


def chi_squared_bounds(numbers: int) -> tuple[float, float]:
    """Between which χ²_n / n lies but for chance: Wilson and Hilferty 1931."""
    spread = 2 / (9 * numbers)
    low, high = (1 - spread + side * SIGMAS * math.sqrt(spread) for side in (-1, 1))
    return max(low, 0.0) ** 3, high**3


def _surprise(said: Categorical, log_probs: Tensor, mask: Tensor) -> tuple[float, float, float]:
    """−Σ log π over its expectation, and what it lies between but for chance: the logarithm of the
    moment-generating function of −log π at s is that of Σ π^(1 − s).
    """
    logarithms = said.logits.double().log_softmax(dim=-1)

    def total(each: Tensor) -> float:
        return float(torch.where(mask, each, 0).sum())

    def moments(s: float) -> float:
        return total(((1 - s) * logarithms).logsumexp(dim=-1))

    expected, told = total(-(logarithms.exp() * logarithms).sum(dim=-1)), total(-log_probs.double())
    low = max(-(moments(-s) + DOUBT) / s for s in TILTS)
    high = min((moments(s) + DOUBT) / s for s in TILTS if s <= 1)
    floor = 1e-3 * int(mask.sum())  # of a policy that is nearly sure
    told, low, high = ((number + floor) / (expected + floor) for number in (told, low, high))
    return told, low, high
