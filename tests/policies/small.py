"""Small policies and rollouts with random numbers, in float64 where an oracle needs its digits."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.networks import build_network
from models.normalisation import Params
from models.policies.advantages import Discounting, advantages
from models.policies.inner_step import step
from models.policies.policy import Policy, initial_policy
from models.policies.rollouts import Rollouts
from models.policies.trpo import Played, stacked

SEEN, ACTED = 3, 2
HOW = Discounting(gamma=0.95, gae_lambda=0.9, max_episode_steps=7)


def small_policy(*, discrete: bool = False) -> Policy:
    network = build_network("mlp", {"inputs": SEEN, "hidden": [6, 5], "normalised": False})
    return Policy(network=network.requires_grad_(False), actions=ACTED, discrete=discrete)


def small_theta(policy: Policy, seed: int = 1, log_std: float = -0.5) -> Params:
    """Away from ReLU's kinks by its biases."""
    generator = torch.Generator().manual_seed(seed)
    theta = initial_policy(policy, SEEN, generator)
    moved = {
        name: value.double()
        + 0.3 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
        for name, value in theta.items()
    }
    if not policy.discrete:
        moved["head.log_std"] = moved["head.log_std"] + log_std
    return moved


def rollouts_under(
    policy: Policy, params: Params, seed: int, *, episodes: int = 4, steps: int = 7
) -> Rollouts:
    """Of policies (E, …), of all lengths, on observations and with rewards that mean nothing."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    tasks = len(next(iter(params.values())))
    observations = normal(tasks, episodes, steps + 1, SEEN)
    lengths = torch.randint(1, steps + 1, (tasks, episodes), generator=generator)
    lengths[:, 0] = steps
    with torch.no_grad():
        actions = policy(params, observations[:, :, :-1]).drawn(generator)
    return Rollouts(
        observations=observations,
        actions=actions,
        rewards=normal(tasks, episodes, steps),
        lengths=lengths,
        terminated=torch.rand(tasks, episodes, generator=generator) < 0.5,
    )


@dataclass(frozen=True)
class Scene:
    """An outer step that is about to be taken: three tasks, played before and after."""

    policy: Policy
    theta: Params
    phi: Params
    played: Played
    step_size: float


def a_scene(*, discrete: bool = False, tasks: int = 3, step_size: float = 0.3) -> Scene:
    policy = small_policy(discrete=discrete)
    theta = small_theta(policy)
    start = stacked(theta, tasks)
    before = rollouts_under(policy, start, 2)
    before_values = advantages(before, HOW).values
    phi = step(policy, start, before, before_values, step_size)
    after = rollouts_under(policy, phi, 3)
    played = Played(
        before=before,
        before_values=before_values,
        after=after,
        after_values=advantages(after, HOW).values,
    )
    return Scene(policy=policy, theta=theta, phi=phi, played=played, step_size=step_size)


def alone(rollouts: Rollouts, task: int) -> Rollouts:
    """One task's, E = 1."""
    return Rollouts(
        observations=rollouts.observations[task : task + 1],
        actions=rollouts.actions[task : task + 1],
        rewards=rollouts.rewards[task : task + 1],
        lengths=rollouts.lengths[task : task + 1],
        terminated=rollouts.terminated[task : task + 1],
    )


def padded(rollouts: Rollouts, *, steps: int, episodes: int) -> Rollouts:
    """The same with so many more steps and episodes that do not count, of numbers that would."""

    def longer(values: Tensor, axis: int, by: int, number: float) -> Tensor:
        shape = list(values.shape)
        shape[axis] = by
        return torch.cat([values, values.new_full(shape, number)], dim=axis)

    return Rollouts(
        observations=longer(longer(rollouts.observations, 2, steps, 2.5), 1, episodes, -1.5),
        actions=longer(longer(rollouts.actions, 2, steps, 1), 1, episodes, 1),
        rewards=longer(longer(rollouts.rewards, 2, steps, 50.0), 1, episodes, -70.0),
        lengths=longer(rollouts.lengths, 1, episodes, 0),
        terminated=longer(rollouts.terminated, 1, episodes, True),
    )
