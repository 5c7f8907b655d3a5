"""What does not count changes nothing, and neither do the tasks beside one's own."""

import pytest
import torch

from models.policies.inner_step import Stepped, adapt_policies
from models.policies.on_policy import on_policy
from models.policies.trpo import Played, meta_gradient, stacked, trpo_step
from tests.policies.small import (
    HOW,
    a_scene,
    alone,
    padded,
    rollouts_under,
    small_policy,
    small_theta,
)

KINDS = pytest.mark.parametrize("discrete", [False, True])
NEAR = {"rtol": 1e-9, "atol": 1e-11}  # sums in another order, in float64


def assert_same(one: Stepped, other: Stepped) -> None:
    for name, value in one.params.items():
        torch.testing.assert_close(other.params[name], value, **NEAR)
    for field in ("mean_return", "kl", "explained"):
        torch.testing.assert_close(getattr(other, field), getattr(one, field), **NEAR)
    assert torch.equal(one.are_equal, other.are_equal)


@KINDS
@pytest.mark.parametrize(("steps", "episodes"), [(5, 0), (0, 3), (2, 2)])
def test_padding_changes_no_adaptation(discrete: bool, steps: int, episodes: int) -> None:
    policy = small_policy(discrete=discrete)
    start = stacked(small_theta(policy), 3)
    rollouts = rollouts_under(policy, start, 4)
    longer = padded(rollouts, steps=steps, episodes=episodes)

    assert_same(
        adapt_policies(policy, start, rollouts, 0.3, HOW),
        adapt_policies(policy, start, longer, 0.3, HOW),
    )
    for task in range(3):
        one = {name: value[task : task + 1] for name, value in start.items()}
        was, now = (on_policy(policy, one, alone(r, task)) for r in (rollouts, longer))
        assert (now.score, now.low, now.high) == pytest.approx((was.score, was.low, was.high))


@KINDS
def test_tasks_beside_each_other_are_adapted_as_each_alone(discrete: bool) -> None:
    policy = small_policy(discrete=discrete)
    thetas = [small_theta(policy, seed) for seed in (1, 2, 3)]
    start = {name: torch.stack([theta[name] for theta in thetas]) for name in thetas[0]}
    rollouts = rollouts_under(policy, start, 5)
    sizes = torch.tensor([0.3, 0.1, 0.0], dtype=torch.float64)

    together = adapt_policies(policy, start, rollouts, sizes, HOW)

    for task in range(3):
        one = {name: value[task : task + 1] for name, value in start.items()}
        by_itself = adapt_policies(policy, one, alone(rollouts, task), float(sizes[task]), HOW)
        for name, value in by_itself.params.items():
            torch.testing.assert_close(together.params[name][task : task + 1], value, **NEAR)
        torch.testing.assert_close(together.kl[task : task + 1], by_itself.kl, **NEAR)
    assert all(torch.equal(together.params[name][2], start[name][2]) for name in start)


@KINDS
def test_padding_changes_no_outer_step(discrete: bool) -> None:
    """Of steps; more episodes would make another quarter of them."""
    scene = a_scene(discrete=discrete)
    before = padded(scene.played.before, steps=3, episodes=0)
    after = padded(scene.played.after, steps=3, episodes=0)
    more = torch.full((3, 4, 3), 9.0, dtype=torch.float64)
    longer = Played(
        before=before,
        before_values=torch.cat([scene.played.before_values, more], dim=2),
        after=after,
        after_values=torch.cat([scene.played.after_values, more], dim=2),
    )

    was = meta_gradient(scene.policy, scene.theta, scene.phi, scene.played, 0.3)
    now = meta_gradient(scene.policy, scene.theta, scene.phi, longer, 0.3)
    torch.testing.assert_close(now, was, **NEAR)
    one = trpo_step(scene.policy, scene.theta, scene.played, 0.3)
    other = trpo_step(scene.policy, scene.theta, longer, 0.3)
    for name, value in one.theta.items():
        torch.testing.assert_close(other.theta[name], value, rtol=1e-6, atol=1e-8)
