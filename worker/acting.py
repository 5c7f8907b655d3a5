"""Many policies one step on, in stacked calls: each on its own rollouts, from θ or from the φ that
its row goes on from.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from app.inputs.rollouts import ACTIONS, LENGTHS, LOG_PROBS, REWARDS, TERMINATED
from app.values.arrays import INPUT
from models.files.checkpoint import Checkpoint
from models.learner import Adapted
from models.normalisation import Params
from models.policies.advantages import Discounting
from models.policies.inner_step import Stepped, adapt_policies, deviations
from models.policies.on_policy import OnPolicy, on_policy
from models.policies.policy import Policy
from models.policies.rollouts import Rollouts, rollouts_of
from worker.work import Failure, Work

STEPS_AT_ONCE: Final = 40_000  # of an environment, in one call
ARRAYS: Final = (INPUT, ACTIONS, REWARDS, LENGTHS, TERMINATED)


def adapt_policy_rows(
    checkpoint: Checkpoint,
    rows: Sequence[Work],
    *,
    steps: int,
    device: torch.device,
    progress: Callable[[], None],
) -> list[Adapted | Failure]:
    """The adapted policy of every row, in their order; rows share the shapes of their arrays.

    progress: called after every stacked call; what it raises ends the work.
    """
    acting = checkpoint.acting
    assert acting is not None
    policy = Policy(
        network=checkpoint.learner.network,
        actions=checkpoint.learner.head.outputs,
        discrete=acting.actions == "discrete",
    )
    how = Discounting(
        gamma=acting.gamma,
        gae_lambda=acting.gae_lambda,
        max_episode_steps=acting.max_episode_steps,
    )
    done: list[Adapted | Failure] = []
    size = max(1, STEPS_AT_ONCE // rows[0].support[REWARDS].size) if rows else 1
    for first in range(0, len(rows), size):
        part = rows[first : first + size]
        done += _stacked(policy, checkpoint.meta.theta, part, steps, how, device)
        progress()
    return done


def _stacked(
    policy: Policy,
    theta: Params,
    rows: Sequence[Work],
    steps: int,
    how: Discounting,
    device: torch.device,
) -> list[Adapted | Failure]:
    start = _starts(theta, rows, device)
    arrays = {name: np.stack([row.support[name] for row in rows]) for name in ARRAYS}
    rollouts = rollouts_of(arrays, device)
    sizes = torch.tensor([(row.step_size or 0.0) * steps for row in rows], device=device)
    stepped = adapt_policies(policy, start, rollouts, sizes, how)
    return [
        _apart(policy, start, rollouts, stepped, index, row.support.get(LOG_PROBS))
        for index, row in enumerate(rows)
    ]


def _starts(theta: Params, rows: Sequence[Work], device: torch.device) -> Params:
    """Where each policy starts from, (E, …)."""

    def of(row: Work, name: str) -> Tensor:
        return theta[name] if row.start is None else torch.from_numpy(row.start[name]).to(device)

    return {name: torch.stack([of(row, name) for row in rows]) for name in theta}


def _apart(
    policy: Policy,
    start: Params,
    rollouts: Rollouts,
    stepped: Stepped,
    index: int,
    sent: Any,
) -> Adapted | Failure:
    """One row of what was stacked."""
    params = {name: value[index] for name, value in stepped.params.items()}
    if not all(bool(value.isfinite().all()) for value in params.values()):
        detail = "a parameter was no longer finite after the step; scale the rewards, or send a"
        return Failure(code="diverged", detail=f"{detail} smaller step_size")
    alone = slice(index, index + 1)
    mine = Rollouts(
        observations=rollouts.observations[alone],
        actions=rollouts.actions[alone],
        rewards=rollouts.rewards[alone],
        lengths=rollouts.lengths[alone],
        terminated=rollouts.terminated[alone],
    )
    found = on_policy(policy, {name: value[alone] for name, value in start.items()}, mine)
    spread = deviations(stepped.params)
    metrics: dict[str, Any] = {
        "mean_return": float(stepped.mean_return[index]),
        "kl": float(stepped.kl[index]),
        "baseline_explained_variance": float(stepped.explained[index]),
        "on_policy": _told(found, mine, sent),
    }
    if spread is not None:
        metrics["std"] = [float(value) for value in spread[index]]
    return Adapted(params=params, statistics={}, losses=torch.zeros(0), metrics=metrics)


def _told(found: OnPolicy, rollouts: Rollouts, sent: Any) -> dict[str, float]:
    """effective_sample_share: of importance weights by the log-probabilities that were sent."""
    told = {"mean_squared_z": found.score}
    if sent is not None:
        counts = rollouts.mask[0].cpu().numpy() & ~np.isnan(sent)
        weights = np.exp(found.log_probs.cpu().numpy()[counts].astype(np.float64) - sent[counts])
        told["effective_sample_share"] = float(weights.mean() ** 2 / np.square(weights).mean())
    return told
