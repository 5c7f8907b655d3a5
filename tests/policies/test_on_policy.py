"""A policy's own rollouts are taken, those of anything else refused."""

from dataclasses import replace

import pytest
import torch
from scipy import stats
from torch import Tensor

from models.policies.advantages import advantages
from models.policies.inner_step import step
from models.policies.on_policy import chi_squared_bounds, on_policy
from models.policies.policy import Policy
from models.policies.rollouts import Rollouts
from models.policies.trpo import stacked
from tests.policies.small import HOW, alone, rollouts_under, small_policy, small_theta

KINDS = pytest.mark.parametrize("discrete", [False, True])


def taken(policy: Policy, theta: dict[str, Tensor], rollouts: Rollouts) -> bool:
    return on_policy(policy, stacked(theta, 1), rollouts).holds


@KINDS
@pytest.mark.parametrize(("episodes", "steps"), [(1, 1), (1, 6), (5, 7), (20, 30)])
@pytest.mark.parametrize("log_std", [-2.0, 0.5])
def test_its_own_rollouts_are_taken(
    discrete: bool, episodes: int, steps: int, log_std: float
) -> None:
    """Of a hundred seeds."""
    policy = small_policy(discrete=discrete)
    thetas = [small_theta(policy, seed, log_std) for seed in range(100)]
    start = {name: torch.stack([theta[name] for theta in thetas]) for name in thetas[0]}
    rollouts = rollouts_under(policy, start, 6, episodes=episodes, steps=steps)

    for task, theta in enumerate(thetas):
        assert taken(policy, theta, alone(rollouts, task)), task


def test_its_own_rollouts_are_taken_as_float32_has_them() -> None:
    policy = small_policy()
    theta = {name: value.float() for name, value in small_theta(policy, 1, -2.0).items()}
    wide = rollouts_under(policy, {n: v[None].double() for n, v in theta.items()}, 6, episodes=20)
    narrow = replace(wide, observations=wide.observations.float(), actions=wide.actions.float())

    found = on_policy(policy, stacked(theta, 1), narrow)

    assert found.holds
    assert found.log_probs.shape == (20, 7)


@pytest.mark.parametrize("seed", range(10))
def test_actions_that_were_cut_are_refused(seed: int) -> None:
    policy = small_policy()
    theta = small_theta(policy, seed)
    theta["head.log_std"] = torch.zeros(2, dtype=torch.float64)  # as every policy begins
    theta["head.bias"], theta["head.weight"] = theta["head.bias"] * 0, theta["head.weight"] * 0.3
    rollouts = rollouts_under(policy, stacked(theta, 1), seed, episodes=20, steps=40)
    cut = replace(rollouts, actions=rollouts.actions.clamp(-1, 1))

    found = on_policy(policy, stacked(theta, 1), cut)

    assert found.score < found.low


@pytest.mark.parametrize("seed", range(10))
def test_actions_without_noise_are_refused(seed: int) -> None:
    policy = small_policy()
    theta = small_theta(policy, seed)
    rollouts = rollouts_under(policy, stacked(theta, 1), seed, episodes=20, steps=40)
    said = policy(stacked(theta, 1), rollouts.observations[:, :, :-1])

    found = on_policy(policy, stacked(theta, 1), replace(rollouts, actions=said.mean))

    assert found.score == pytest.approx(0, abs=1e-20)
    assert not found.holds


@pytest.mark.parametrize("seed", range(10))
def test_the_likeliest_choice_each_time_is_refused(seed: int) -> None:
    policy = small_policy(discrete=True)
    theta = small_theta(policy, seed)
    rollouts = rollouts_under(policy, stacked(theta, 1), seed, episodes=20, steps=40)
    said = policy(stacked(theta, 1), rollouts.observations[:, :, :-1])

    found = on_policy(
        policy, stacked(theta, 1), replace(rollouts, actions=said.logits.argmax(dim=-1))
    )

    assert found.score < found.low


@pytest.mark.parametrize("seed", range(10))
@KINDS
def test_rollouts_of_the_adapted_policy_are_refused(discrete: bool, seed: int) -> None:
    """A step that moves far, as those of a meta-trained policy do; and its own are taken."""
    policy = small_policy(discrete=discrete)
    theta = one_sided(seed) if discrete else small_theta(policy, seed, -1.5)
    before = rollouts_under(policy, stacked(theta, 1), seed, episodes=20, steps=40)
    actions = before.actions if discrete else before.actions[..., 0]
    wanted = replace(before, rewards=actions.double())  # the more the better
    values = advantages(wanted, HOW).values
    phi = step(policy, stacked(theta, 1), before, values, 5.0 if discrete else 0.3)
    after = rollouts_under(policy, phi, seed + 1, episodes=20, steps=40)

    assert on_policy(policy, phi, after).holds
    assert not taken(policy, theta, after)


@pytest.mark.parametrize("seed", range(10))
def test_actions_of_other_steps_are_refused(seed: int) -> None:
    policy = small_policy()
    theta = small_theta(policy, seed, -2.0)
    theta["head.weight"] = theta["head.weight"] * 3
    rollouts = rollouts_under(policy, stacked(theta, 1), seed, episodes=20, steps=40)

    assert not taken(policy, theta, replace(rollouts, actions=rollouts.actions.roll(1, dims=2)))


@pytest.mark.parametrize("seed", range(10))
def test_numbers_or_choices_in_another_order_are_refused(seed: int) -> None:
    for policy, theta in (
        (small_policy(), small_theta(small_policy(), seed, -2.0)),
        (small_policy(discrete=True), one_sided(seed)),
    ):
        rollouts = rollouts_under(policy, stacked(theta, 1), seed, episodes=20, steps=40)
        actions = 1 - rollouts.actions if policy.discrete else rollouts.actions.flip(-1)

        assert not taken(policy, theta, replace(rollouts, actions=actions))


def one_sided(seed: int) -> dict[str, Tensor]:
    """Of a discrete policy that mostly takes its first choice."""
    theta = small_theta(small_policy(discrete=True), seed)
    theta["head.weight"] = 0.3 * theta["head.weight"]
    theta["head.bias"] = torch.tensor([1.0, -1.0], dtype=torch.float64)
    return theta


def nearly_sure() -> tuple[Policy, dict[str, Tensor], Rollouts]:
    """A policy of which one action in ten thousand is another, and fifty likely ones."""
    policy = small_policy(discrete=True)
    theta = {name: torch.zeros_like(value) for name, value in small_theta(policy).items()}
    theta["head.bias"] = torch.tensor([9.21, 0.0], dtype=torch.float64)
    rollouts = rollouts_under(policy, stacked(theta, 1), 1, episodes=1, steps=50)
    return policy, theta, replace(rollouts, actions=torch.zeros(1, 1, 50, dtype=torch.int64))


def test_a_rare_choice_of_a_nearly_sure_policy_is_taken() -> None:
    """One of two hundred such rollouts has one; six in fifty steps no rollouts ever have."""
    policy, theta, rollouts = nearly_sure()
    once, often = rollouts.actions.clone(), rollouts.actions.clone()
    once[0, 0, 7], often[0, 0, :6] = 1, 1

    assert taken(policy, theta, rollouts)
    assert taken(policy, theta, replace(rollouts, actions=once))
    assert not taken(policy, theta, replace(rollouts, actions=often))


@pytest.mark.parametrize("numbers", [1, 2, 10, 100, 1_000, 40_000])
def test_the_bounds_are_quantiles_of_chi_squared(numbers: int) -> None:
    """Of one in a billion each; of a few numbers wider, never much narrower."""
    exact = stats.chi2(numbers)
    chance = stats.norm.sf(6)

    low, high = chi_squared_bounds(numbers)

    assert exact.cdf(low * numbers) < 5 * chance
    assert exact.sf(high * numbers) < 5 * chance
    if numbers >= 100:
        assert low == pytest.approx(exact.ppf(chance) / numbers, rel=0.03)
        assert high == pytest.approx(exact.isf(chance) / numbers, rel=0.01)
