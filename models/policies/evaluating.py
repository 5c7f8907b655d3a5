"""What a policy earns in tasks that it has not seen: before it is adapted, and after each round of
rollouts and one step on them.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.environments.protocol import Environment
from models.normalisation import Params
from models.policies.advantages import Discounting
from models.policies.inner_step import adapt_policies
from models.policies.policy import Policy
from models.policies.sampling import collect
from models.policies.trpo import stacked


def returns_by_round(
    policy: Policy,
    theta: Params,
    environment: Environment,
    tasks: NDArray[np.float64],
    *,
    episodes: int,
    step_sizes: Sequence[float],
    how: Discounting,
    seed: Sequence[int],
    progress: Callable[[int], None] = lambda rounds: None,
) -> Tensor:
    """(rounds + 1, tasks) mean undiscounted returns of the policy in each task after 0, 1, … steps,
    a step size for each.
    """
    params, found = stacked(theta, len(tasks)), list[Tensor]()
    for number in range(len(step_sizes) + 1):
        rollouts = collect(policy, params, environment, tasks, episodes, [*seed, number])
        found.append(rollouts.returns)
        if number < len(step_sizes):
            params = adapt_policies(policy, params, rollouts, step_sizes[number], how).params
        progress(number)
    return torch.stack(found)
