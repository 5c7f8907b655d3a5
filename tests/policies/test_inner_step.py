"""One inner step: against autodiff by hand, and on rollouts that tell nothing or little."""

from dataclasses import replace

import pytest
import torch
from torch.distributions import kl_divergence

from models.policies.advantages import advantages
from models.policies.inner_step import adapt_policies, deviations
from models.policies.trpo import Played, stacked, trpo_step
from tests.policies import by_hand
from tests.policies.small import HOW, a_scene, rollouts_under, small_policy, small_theta

KINDS = pytest.mark.parametrize("discrete", [False, True])


@KINDS
def test_a_step_and_its_kl_are_those_of_autodiff_by_hand(discrete: bool) -> None:
    scene = a_scene(discrete=discrete)
    before = scene.played.before

    found = adapt_policies(scene.policy, stacked(scene.theta, 3), before, 0.3, HOW)

    for task in range(3):
        theta = by_hand.leaves(scene.theta)
        phi = by_hand.adapted(theta, scene.played, 0.3, task, scene.theta)
        for name, value in phi.items():
            torch.testing.assert_close(found.params[name][task], value.detach())
        seen = before.observations[task, :, :-1]
        each = kl_divergence(by_hand.said(theta, seen), by_hand.said(phi, seen))
        torch.testing.assert_close(found.kl[task], each[before.mask[task]].mean().detach())
        rewards = [
            float(before.rewards[task, episode, :length].sum())
            for episode, length in enumerate(before.lengths[task].tolist())
        ]
        assert float(found.mean_return[task]) == pytest.approx(sum(rewards) / len(rewards))


@KINDS
@pytest.mark.parametrize("reward", [0.0, -1.0, 1e6])
def test_equal_returns_move_nothing(discrete: bool, reward: float) -> None:
    policy = small_policy(discrete=discrete)
    start = stacked(small_theta(policy), 2)
    rollouts = rollouts_under(policy, start, 8)
    rollouts = replace(
        rollouts,
        rewards=torch.full_like(rollouts.rewards, reward),
        lengths=torch.full_like(rollouts.lengths, 7),
    )

    found = adapt_policies(policy, start, rollouts, 0.3, HOW)

    assert bool(found.are_equal.all())
    assert all(torch.equal(found.params[name], value) for name, value in start.items())
    assert not bool(found.kl.any())
    assert bool(found.explained.isfinite().all())


@KINDS
def test_an_outer_step_on_equal_returns_moves_nothing(discrete: bool) -> None:
    scene = a_scene(discrete=discrete)
    nothing = torch.zeros_like(scene.played.before_values)
    played = Played(
        before=scene.played.before,
        before_values=nothing,
        after=scene.played.after,
        after_values=nothing,
    )

    done = trpo_step(scene.policy, scene.theta, played, 0.3)

    assert all(torch.equal(done.theta[name], value) for name, value in scene.theta.items())


@KINDS
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_one_episode_is_enough_to_be_finite(discrete: bool, steps: int) -> None:
    policy = small_policy(discrete=discrete)
    start = stacked(small_theta(policy), 2)
    rollouts = rollouts_under(policy, start, 9, episodes=1, steps=steps)

    found = adapt_policies(policy, start, rollouts, 0.3, HOW)

    assert not bool(found.are_equal.any())
    assert all(bool(value.isfinite().all()) for value in found.params.values())
    assert bool(found.kl.isfinite().all())
    assert bool(advantages(rollouts, HOW).values.isfinite().all())


def test_deviations_are_a_gaussians_alone() -> None:
    gaussian, discrete = small_policy(), small_policy(discrete=True)
    theta = stacked(small_theta(gaussian), 2)

    found = deviations(theta)

    assert found is not None
    torch.testing.assert_close(found.log(), theta["head.log_std"])
    assert deviations(stacked(small_theta(discrete), 2)) is None
