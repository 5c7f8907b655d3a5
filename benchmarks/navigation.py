"""2D navigation after each round, on the 40 goals that the authors of the paper tested on.

    python -m benchmarks.navigation [FILE]

FILE: a policy's checkpoint, else the shipped one; three seeds of rollouts, and 95 % intervals over
the goals. Beside them the same policy without a step in any round.
"""

import sys
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from models.environments.navigation import Navigation
from models.files.checkpoint import load_checkpoint
from models.policies.advantages import Discounting
from models.policies.evaluating import returns_by_round
from models.policies.policy import Policy

SHIPPED = Path(__file__).parents[1] / "models" / "checkpoints" / "point-navigation.safetensors"
AUTHORS: Final = (-40.41, -11.68, -3.33, -3.23)  # icml files of cbfinn/maml_rl
SEEDS = (1, 2, 3)


def main() -> None:
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(Path(*(sys.argv[1:2] or [SHIPPED])).read_bytes())
    acting = checkpoint.acting
    if acting is None:
        raise SystemExit("expected a policy's checkpoint")
    environment = Navigation()
    goals = np.random.RandomState(1).uniform(-0.5, 0.5, (40, 2))
    policy = Policy(network=checkpoint.learner.network, actions=environment.action_size)
    how = Discounting(
        gamma=acting.gamma,
        gae_lambda=acting.gae_lambda,
        max_episode_steps=acting.max_episode_steps,
    )
    print("rounds          " + "".join(f"{number:>16}" for number in range(4)))
    print("authors         " + "".join(f"{value:>16.2f}" for value in AUTHORS))
    for sizes, name in ((acting.step_sizes, "adapted"), ((0.0,) * 3, "no step")):
        for seed in SEEDS:
            found = returns_by_round(
                policy,
                checkpoint.meta.theta,
                environment,
                goals,
                episodes=acting.episodes,
                step_sizes=sizes,
                how=how,
                seed=[seed],
            )
            print(f"{name}, seed {seed} ".ljust(16) + "".join(map(in_words, found)))


def in_words(returns: Tensor) -> str:
    mean, ci95 = float(returns.mean()), float(1.96 * returns.std() / len(returns) ** 0.5)
    return f"{mean:.2f} ± {ci95:.2f}".rjust(16)


if __name__ == "__main__":
    main()
