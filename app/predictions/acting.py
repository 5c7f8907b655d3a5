"""What a policy does on observations, from what its network says of them: actions, how they were
drawn, and how likely they are.

``numpy.random.default_rng(seed)`` draws, so that whoever acts at home with the same seed does the
same. It knows no HTTP and no torch.
"""

import math
import secrets
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.values.description import PolicyDescription
from app.values.readable import softmax

SEEDS_BELOW: Final = 2**53  # whole numbers that every JSON reader keeps
Numbers = NDArray[np.float32]


def new_seeds(count: int) -> list[int]:
    """Seeds for whoever sent none."""
    return [secrets.randbelow(SEEDS_BELOW) for _ in range(count)]


def actions_of(
    outputs: Numbers, policy: PolicyDescription, seeds: Sequence[int] | None
) -> list[dict[str, Any]]:
    """Of each observation; outputs: (Q, 2 A) means and deviations, or (Q, A) logits of choices;
    seeds: one for each, None for the likeliest action.
    """
    drawn: Sequence[int | None] = [None] * len(outputs) if seeds is None else seeds
    one = _choice if policy.is_discrete else _numbers
    return [one(row, policy, seed) for row, seed in zip(outputs, drawn, strict=True)]


def in_bounds(action: Numbers, policy: PolicyDescription) -> Numbers:
    """−1 to 1 scaled to the environment's bounds, and cut there."""
    low, high = np.array(policy.low, np.float32), np.array(policy.high, np.float32)
    share = (np.clip(action, -1, 1) + 1) / 2
    return np.clip(low + share * (high - low), low, high)


def _numbers(row: Numbers, policy: PolicyDescription, seed: int | None) -> dict[str, Any]:
    mean, std = row[: policy.action_size], row[policy.action_size :]
    noise = (
        np.zeros(len(mean))
        if seed is None
        else np.random.default_rng(seed).standard_normal(len(mean))
    )
    sampled = (mean + std * noise).astype(np.float32)
    z = (sampled.astype(np.float64) - mean) / std
    log_prob = -0.5 * np.square(z) - np.log(std.astype(np.float64)) - 0.5 * math.log(2 * math.pi)
    return {
        "action": in_bounds(sampled, policy).tolist(),
        "sampled_action": sampled.tolist(),
        "mean": mean.tolist(),
        "std": std.tolist(),
        "log_prob": float(log_prob.sum()),
        "seed": seed,
    }


def _choice(row: Numbers, policy: PolicyDescription, seed: int | None) -> dict[str, Any]:
    shares = softmax(row[None])[0]
    if seed is None:
        chosen = int(shares.argmax())
    else:
        drawn = np.random.default_rng(seed).random()
        chosen = min(int(np.searchsorted(shares.cumsum(), drawn, side="right")), len(shares) - 1)
    return {
        "action": chosen,
        "sampled_action": chosen,
        "probabilities": shares.tolist(),
        "log_prob": float(np.log(shares[chosen])),
        "seed": seed,
    }
