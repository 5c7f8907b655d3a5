"""Returns, baseline and advantages against a plain loop and numpy's least squares."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.policies.advantages import Discounting, advantages, discounted
from models.policies.rollouts import Rollouts
from tests.policies.small import padded

Array = NDArray[np.float64]
# Ended by termination and by a cut, at the longest and before; and an episode of one step.
LENGTHS = torch.tensor([[8, 8, 5, 5, 1, 1], [8, 3, 2, 8, 6, 7]])
TERMINATED = torch.tensor([[1, 0, 1, 0, 1, 0], [0, 0, 1, 1, 0, 1]], dtype=torch.bool)


def some_rollouts(scale: float = 1.0) -> Rollouts:
    generator = torch.Generator().manual_seed(7)
    observations = scale * torch.randn(2, 6, 9, 3, generator=generator, dtype=torch.float64)
    rewards = torch.randn(2, 6, 8, generator=generator, dtype=torch.float64) - 1
    return Rollouts(
        observations=observations,
        actions=torch.zeros(2, 6, 8, 2, dtype=torch.float64),
        rewards=rewards,
        lengths=LENGTHS,
        terminated=TERMINATED,
    )


def returns_of(rewards: Array, factor: float) -> Array:
    """Σ factor^k x_{t + k}, by its definition."""
    steps = range(len(rewards))
    return np.array([sum(factor ** (k - t) * rewards[k] for k in steps[t:]) for t in steps])


def features_of(observation: Array, step: int) -> list[float]:
    """Duan et al. 2016: what is seen, its squares, and time in three powers."""
    seen, time = np.clip(observation, -10, 10), step / 100
    return [*seen, *seen**2, time, time**2, time**3, 1.0]


def by_loop(rollouts: Rollouts, task: int, how: Discounting) -> tuple[list[Array], float]:
    """A task's advantages, an array of each episode, and the share that the baseline explains."""
    lengths = rollouts.lengths[task].tolist()
    seen, rewards = rollouts.observations[task].numpy(), rollouts.rewards[task].numpy()
    rows, targets = list[list[float]](), list[float]()
    for episode, length in enumerate(lengths):
        rows += [features_of(seen[episode, t], t) for t in range(length)]
        targets += list(returns_of(rewards[episode, :length], how.gamma))
    x = np.vstack([rows, np.sqrt(1e-5) * np.eye(len(rows[0]))])  # ridge regression
    weights = np.linalg.lstsq(x, np.append(targets, np.zeros(len(rows[0]))), rcond=None)[0]
    found = list[Array]()
    for episode, length in enumerate(lengths):
        ended = bool(rollouts.terminated[task, episode]) or length >= how.max_episode_steps
        expected = [features_of(seen[episode, t], t) @ weights for t in range(length + 1)]
        raw, following = np.zeros(length), 0.0
        for t in reversed(range(length)):
            future = 0.0 if ended and t == length - 1 else expected[t + 1]
            surplus = rewards[episode, t] + how.gamma * future - expected[t]
            following = surplus + how.gamma * how.gae_lambda * following
            raw[t] = following
        found.append(raw)
    every = np.concatenate(found)
    left = np.asarray(targets) - np.asarray(rows) @ weights
    return [(raw - every.mean()) / every.std() for raw in found], 1 - left.var() / np.var(targets)


@pytest.mark.parametrize("gae_lambda", [1.0, 0.9, 0.0])
@pytest.mark.parametrize("max_episode_steps", [8, 20])
@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_advantages_are_those_of_a_plain_loop(
    gae_lambda: float, max_episode_steps: int, scale: float
) -> None:
    """scale 8: some numbers lie beyond what the baseline looks at."""
    how = Discounting(gamma=0.97, gae_lambda=gae_lambda, max_episode_steps=max_episode_steps)
    rollouts = some_rollouts(scale)

    found = advantages(rollouts, how)

    for task in range(2):
        expected, explained = by_loop(rollouts, task, how)
        for episode, values in enumerate(expected):
            got = found.values[task, episode, : len(values)].numpy()
            np.testing.assert_allclose(got, values, atol=1e-6)
        assert float(found.explained[task]) == pytest.approx(explained, abs=1e-7)
    assert not bool(found.are_equal.any())
    assert torch.equal(
        found.values[~rollouts.mask], torch.zeros(int((~rollouts.mask).sum())).double()
    )


def test_only_a_cut_before_the_longest_looks_beyond_the_end() -> None:
    """Another last observation changes what was cut off early, and nothing else."""
    rollouts = replace(some_rollouts(), lengths=torch.tensor([[5], [8]]).repeat(1, 6))
    moved = rollouts.observations.clone()
    moved[0, :, 5], moved[1, :, 8] = 3.0, 3.0
    how = Discounting(gamma=0.97, gae_lambda=0.9, max_episode_steps=8)

    for terminated, changes in ((False, [True, False]), (True, [False, False])):
        ended = replace(rollouts, terminated=torch.full((2, 6), terminated))
        was = advantages(ended, how).values
        now = advantages(replace(ended, observations=moved), how).values
        assert [not torch.equal(was[task], now[task]) for task in range(2)] == changes


def test_discounted_sums_are_those_of_their_definition() -> None:
    values = torch.randn(3, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    for factor in (0.0, 0.5, 1.0):
        expected = [returns_of(row, factor) for row in values.numpy()]
        np.testing.assert_allclose(discounted(values, factor).numpy(), expected, atol=1e-12)


def test_a_return_that_is_linear_in_the_features_is_explained_whole() -> None:
    """Reward 1 a step and no discount: the return is what is left of the time."""
    rollouts = replace(some_rollouts(), rewards=torch.ones(2, 6, 8, dtype=torch.float64))
    rollouts = replace(rollouts, lengths=torch.full((2, 6), 8))
    how = Discounting(gamma=1.0, gae_lambda=1.0, max_episode_steps=8)

    found = advantages(rollouts, how)

    torch.testing.assert_close(found.explained, torch.ones(2).double(), atol=1e-3, rtol=0)
    assert bool(found.are_equal.all())


def test_advantages_have_mean_zero_and_deviation_one_and_no_padding() -> None:
    how = Discounting(gamma=0.97, gae_lambda=0.9, max_episode_steps=8)
    rollouts = padded(some_rollouts(), steps=4, episodes=3)

    values, mask = advantages(rollouts, how).values, rollouts.mask

    for task in range(2):
        counted = values[task][mask[task]]
        assert float(counted.mean()) == pytest.approx(0, abs=1e-9)
        assert float(counted.square().mean()) == pytest.approx(1, abs=1e-6)
    assert not bool(values[~mask].any())
