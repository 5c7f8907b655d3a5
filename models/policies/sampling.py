"""Rollouts of policies in an environment: all tasks and episodes in lockstep, with noise that
depends on the seed alone.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from models.environments.protocol import Environment
from models.normalisation import Params
from models.policies.policy import Policy
from models.policies.rollouts import Rollouts


def collect(
    policy: Policy,
    params: Params,
    environment: Environment,
    tasks: NDArray[np.float64],
    episodes: int,
    seed: list[int],
) -> Rollouts:
    """So many episodes of each policy, (E, …) params, in its task (E, P)."""
    running = environment.start(tasks, episodes, np.random.default_rng(seed))
    generator = torch.Generator().manual_seed(hash_of(seed))
    shape, longest = (len(tasks), episodes), environment.max_episode_steps
    over, lengths = np.zeros(shape, bool), np.full(shape, longest)
    terminated = np.zeros(shape, bool)
    seen, acted, earned = [running.observations], list[torch.Tensor](), list[NDArray[np.float32]]()
    with torch.no_grad():
        for number in range(1, longest + 1):
            said = policy(params, torch.from_numpy(np.ascontiguousarray(running.observations)))
            actions = said.drawn(generator)
            rewards, ended = running.step(actions.numpy())
            seen.append(running.observations)
            acted.append(actions)
            earned.append(rewards)
            fresh = ended & ~over
            lengths[fresh], over, terminated = number, over | ended, terminated | fresh
            if over.all():
                break
    steps = len(acted)
    return Rollouts(
        observations=torch.from_numpy(np.stack(seen, axis=2).astype(np.float32)),
        actions=torch.stack(acted, dim=2),
        rewards=torch.from_numpy(np.stack(earned, axis=2).astype(np.float32)),
        lengths=torch.from_numpy(np.minimum(lengths, steps)),
        terminated=torch.from_numpy(terminated),
    )


def hash_of(seed: list[int]) -> int:
    """63 bits of a list of numbers, the same everywhere."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1)
