"""A policy of a point on the plane, its environment, and whoever acts in it over HTTP."""

from typing import Any

import httpx
import numpy as np
import torch

from models.environments.navigation import Navigation
from models.files.checkpoint import dump_checkpoint
from models.meta_training.policies import build_policy, policy_checkpoint, start_policy
from models.meta_training.policy_recipes import read_policy_recipe

Json = dict[str, Any]
ENVIRONMENT = Navigation()
EPISODES = 6


def untrained(name: str, seed: int = 1) -> bytes:
    """A checkpoint file of a policy that was never trained."""
    from dataclasses import replace

    recipe = replace(read_policy_recipe("point-navigation"), name=name, seed=seed)
    policy = build_policy(recipe, ENVIRONMENT)
    state = start_policy(recipe, policy, ENVIRONMENT)
    nothing = torch.zeros(4, 2)
    return dump_checkpoint(policy_checkpoint(recipe, policy, ENVIRONMENT, state, nothing, {}))


def collect(
    client: httpx.Client, whose: Json, goal: tuple[float, float], *, episodes: int, steps: int
) -> list[Json]:
    """Rollouts of whoever predicts, its episodes in lockstep; seeds so that it comes out again."""
    running = ENVIRONMENT.start(np.array([goal]), episodes, np.random.default_rng(0))
    seen = [running.observations[0]]
    acted, earned, logs = [], [], []
    for number in range(steps):
        seeds = [1000 * number + index for index in range(episodes)]
        body = {**whose, "inputs": seen[-1].tolist(), "seeds": seeds}
        answer = client.post("/predict", json=body)
        assert answer.status_code == 200, answer.text
        told = answer.json()["predictions"]
        actions = np.array([one["sampled_action"] for one in told], np.float32)
        rewards, _ = running.step(actions[None])
        seen.append(running.observations[0])
        acted.append(actions)
        earned.append(rewards[0])
        logs.append([one["log_prob"] for one in told])
    return [
        {
            "observations": [step[index].tolist() for step in seen],
            "actions": [step[index].tolist() for step in acted],
            "rewards": [float(step[index]) for step in earned],
            "log_probs": [step[index] for step in logs],
            "terminated": False,
            "truncated": True,
        }
        for index in range(episodes)
    ]
