"""The policy gradient of a Markov decision process that is small enough to enumerate, against
differences of its expected return by backward induction.
"""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.networks import build_network
from models.normalisation import Params
from models.policies.advantages import discounted
from models.policies.inner_step import step
from models.policies.policy import Policy, initial_policy
from models.policies.rollouts import Rollouts

STARTS = np.array([0.7, 0.3])
# From a state by an action to a state; action 1 in state 1 ends the episode.
MOVES = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.0, 0.0]]])
REWARDS = np.array([[1.0, -0.5], [0.3, 2.0]])
STEPS = 3
H = 1e-6

Episode = tuple[float, list[int], list[int], bool]


def a_policy() -> tuple[Policy, Params]:
    network = build_network("mlp", {"inputs": 2, "hidden": [4], "normalised": False})
    policy = Policy(network=network.requires_grad_(False), actions=2, discrete=True)
    generator = torch.Generator().manual_seed(5)
    theta = initial_policy(policy, 2, generator)
    return policy, {
        name: value.double() + 0.2 * torch.rand(value.shape, generator=generator).double()
        for name, value in theta.items()
    }


def chances(theta: Params) -> NDArray[np.float64]:
    """(state, action), with numpy."""
    arrays = {name: value.numpy() for name, value in theta.items()}
    hidden = np.maximum(np.eye(2) @ arrays["linears.0.weight"].T + arrays["linears.0.bias"], 0)
    powers = np.exp(hidden @ arrays["head.weight"].T + arrays["head.bias"])
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def expected_return(theta: Params) -> float:
    values = np.zeros(2)
    for _ in range(STEPS):
        values = (chances(theta) * (REWARDS + MOVES @ values)).sum(axis=1)
    return float(STARTS @ values)


def differences(theta: Params, name: str) -> Tensor:
    """The gradient of the expected return in one parameter."""
    found = torch.zeros_like(theta[name])
    for place in np.ndindex(*theta[name].shape):
        ends = []
        for side in (H, -H):
            moved = {n: value.clone() for n, value in theta.items()}
            moved[name][place] += side
            ends.append(expected_return(moved))
        found[place] = (ends[0] - ends[1]) / (2 * H)
    return found


def every_episode(shares: NDArray[np.float64]) -> Iterator[Episode]:
    """Chance, states, actions and whether it terminated, of each episode that there can be."""
    going = [(STARTS[state], [state], list[int]()) for state in (0, 1)]
    for _ in range(STEPS):
        further = []
        for chance, states, actions in going:
            for action in (0, 1):
                here, taken = chance * shares[states[-1], action], [*actions, action]
                if (states[-1], action) == (1, 1):
                    yield here, [*states, 1], taken, True
                    continue
                ways = MOVES[states[-1], action]
                further += [(here * ways[to], [*states, to], taken) for to in (0, 1)]
        going = further
    for chance, states, actions in going:
        yield chance, states, actions, False


def enumerated(theta: Params) -> tuple[Rollouts, Tensor]:
    """All episodes, and (1, B, 1) the chance of each times the number of all steps, as a step takes
    the mean of its steps where the expectation is a sum.
    """
    episodes = list(every_episode(chances(theta)))
    count = len(episodes)
    observations = torch.zeros(1, count, STEPS + 1, 2, dtype=torch.float64)
    actions = torch.zeros(1, count, STEPS, dtype=torch.int64)
    rewards = torch.zeros(1, count, STEPS, dtype=torch.float64)
    for row, (_, states, taken, _) in enumerate(episodes):
        observations[0, row, : len(states)] = torch.eye(2).double()[states]
        actions[0, row, : len(taken)] = torch.tensor(taken)
        rewards[0, row, : len(taken)] = torch.from_numpy(REWARDS[states[:-1], taken])
    rollouts = Rollouts(
        observations=observations,
        actions=actions,
        rewards=rewards,
        lengths=torch.tensor([[len(taken) for _, _, taken, _ in episodes]]),
        terminated=torch.tensor([[ended for *_, ended in episodes]]),
    )
    weights = torch.tensor([chance for chance, *_ in episodes], dtype=torch.float64)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-12)
    return rollouts, weights[None, :, None] * rollouts.mask.sum()


@pytest.mark.parametrize("baseline", [0.0, 3.0])
def test_a_step_goes_up_the_gradient_of_the_expected_return(baseline: float) -> None:
    """Whatever of time and state is taken from the returns, which moves no expectation."""
    policy, theta = a_policy()
    rollouts, weights = enumerated(theta)
    usual = baseline * torch.tensor([[1.0, -2.0], [0.5, 4.0], [-3.0, 1.0]]).double()
    states = rollouts.observations[:, :, :-1].argmax(dim=-1)
    returns = discounted(torch.where(rollouts.mask, rollouts.rewards, 0), 1.0)
    values = weights * (returns - usual[torch.arange(STEPS), states])

    phi = step(policy, {n: v[None] for n, v in theta.items()}, rollouts, values, 0.5)

    for name in theta:
        direction = (phi[name][0] - theta[name]) / 0.5
        torch.testing.assert_close(direction, differences(theta, name), rtol=1e-6, atol=1e-8)
    assert max(float(differences(theta, name).abs().max()) for name in theta) > 0.1


def test_a_short_step_earns_more_by_as_much_as_the_gradient_says() -> None:
    policy, theta = a_policy()
    rollouts, weights = enumerated(theta)
    values = weights * discounted(rollouts.rewards, 1.0)

    phi = step(policy, {n: v[None] for n, v in theta.items()}, rollouts, values, 1e-5)

    moved = {name: value[0] for name, value in phi.items()}
    slope = sum(float(differences(theta, name).square().sum()) for name in theta)
    gain = expected_return(moved) - expected_return(theta)
    assert gain == pytest.approx(1e-5 * slope, rel=1e-3)
