"""The outer step, written out, against differences and against autodiff through the inner step."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.environments.navigation import Navigation
from models.networks import build_network
from models.policies import trpo
from models.policies.advantages import Discounting, advantages
from models.policies.inner_step import step
from models.policies.policy import Policy, initial_policy
from models.policies.sampling import collect
from models.policies.trpo import (
    DAMPING,
    MAX_KL,
    Played,
    conjugate_gradient,
    curvature_of,
    flat,
    meta_gradient,
    stacked,
    trpo_step,
    unflat,
)
from tests.policies import by_hand
from tests.policies.small import Scene, a_scene

H = 1e-5
KINDS = pytest.mark.parametrize("discrete", [False, True])


def surrogate_at(scene: Scene, moved: torch.Tensor) -> float:
    theta = by_hand.leaves(unflat(moved, scene.theta))
    loss, _ = by_hand.outer(theta, scene.played, scene.step_size, scene.theta, scene.phi)
    return float(loss.detach())


@KINDS
def test_the_meta_gradient_equals_finite_differences(discrete: bool) -> None:
    """Of the outer surrogate, with an inner step from each θ on the rollouts of the first."""
    scene = a_scene(discrete=discrete)

    found = meta_gradient(scene.policy, scene.theta, scene.phi, scene.played, scene.step_size)

    at = flat(scene.theta)
    for place in range(0, len(at), 3):
        shift = torch.zeros_like(at)
        shift[place] = H
        ends = surrogate_at(scene, at + shift) - surrogate_at(scene, at - shift)
        assert float(found[place]) == pytest.approx(ends / (2 * H), rel=1e-5, abs=1e-8), place


@KINDS
def test_the_meta_gradient_is_that_of_autodiff_through_the_inner_step(discrete: bool) -> None:
    scene = a_scene(discrete=discrete)
    theta = by_hand.leaves(scene.theta)
    loss, _ = by_hand.outer(theta, scene.played, scene.step_size, scene.theta, scene.phi)

    found = meta_gradient(scene.policy, scene.theta, scene.phi, scene.played, scene.step_size)

    expected = by_hand.flat(torch.autograd.grad(loss, list(theta.values())))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    first_order = meta_gradient(scene.policy, scene.theta, scene.phi, scene.played, 0.0)
    assert float((found - first_order).abs().max()) > 1e-3  # the inner step's curvature counts


def hessian_times(scene: Scene, played: Played, vector: torch.Tensor) -> torch.Tensor:
    """The mean KL's Hessian in θ, by three derivatives."""
    theta = by_hand.leaves(scene.theta)
    names = list(theta.values())
    _, apart = by_hand.outer(theta, played, scene.step_size, scene.theta, scene.phi)
    slope = by_hand.flat(torch.autograd.grad(apart, names, create_graph=True))
    return by_hand.flat(torch.autograd.grad(slope @ vector, names))


@KINDS
@pytest.mark.parametrize("share", [1, 4])
def test_the_curvature_is_that_of_autodiff_through_the_inner_step(
    discrete: bool, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """share 1: of all episodes; 4: of the first of four."""
    monkeypatch.setattr(trpo, "CURVATURE_SHARE", share)
    scene = a_scene(discrete=discrete)
    some = 4 // share
    played = replace(
        scene.played,
        before=scene.played.before.some(some),
        before_values=scene.played.before_values[:, :some],
        after=scene.played.after.some(some),
        after_values=scene.played.after_values[:, :some],
    )
    if share > 1:  # the derivatives' own step is on these episodes, φ is that of all of them
        phi = step(
            scene.policy,
            stacked(scene.theta, 3),
            played.before,
            played.before_values,
            scene.step_size,
        )
        scene = replace(scene, phi=phi)

    product = curvature_of(scene.policy, scene.theta, scene.phi, scene.played, scene.step_size)

    generator = torch.Generator().manual_seed(9)
    size = len(flat(scene.theta))
    for _ in range(3):
        vector = torch.randn(size, generator=generator, dtype=torch.float64)
        expected = hessian_times(scene, played, vector) + DAMPING * vector
        torch.testing.assert_close(product(vector), expected, rtol=1e-8, atol=1e-11)


def test_conjugate_gradients_solve_what_numpy_solves() -> None:
    generator = torch.Generator().manual_seed(4)
    root = torch.randn(8, 8, generator=generator, dtype=torch.float64)
    matrix = root @ root.T / 8 + torch.eye(8)
    target = torch.randn(8, generator=generator, dtype=torch.float64)

    found = conjugate_gradient(lambda vector: matrix @ vector, target)

    expected = np.linalg.solve(matrix.numpy(), target.numpy())
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)


@KINDS
def test_a_step_stays_in_its_region_and_is_better_there(
    discrete: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trpo, "CURVATURE_SHARE", 1)  # of four episodes one says too little
    scene = a_scene(discrete=discrete)

    done = trpo_step(scene.policy, scene.theta, scene.played, scene.step_size)

    moved = by_hand.leaves(done.theta)
    loss, apart = by_hand.outer(moved, scene.played, scene.step_size, scene.theta, scene.phi)
    first = surrogate_at(scene, flat(scene.theta))
    assert float(apart.detach()) == pytest.approx(done.kl, rel=1e-6)
    assert first - float(loss.detach()) == pytest.approx(done.improved, rel=1e-6)
    assert 0.2 * MAX_KL < done.kl <= MAX_KL
    assert done.improved > 0


def test_five_outer_steps_on_navigation_stay_in_their_region_and_are_no_worse() -> None:
    environment, how = (
        Navigation(max_episode_steps=20),
        Discounting(gamma=0.99, gae_lambda=1.0, max_episode_steps=20),
    )
    network = build_network("mlp", {"inputs": 2, "hidden": [16, 16], "normalised": False})
    policy = Policy(network=network.requires_grad_(False), actions=2)
    theta = initial_policy(policy, 2, torch.Generator().manual_seed(1))

    for number in range(5):
        tasks = environment.draw(5, np.random.default_rng(number))
        start = stacked(theta, 5)
        before = collect(policy, start, environment, tasks, 6, [1, number, 0])
        before_values = advantages(before, how).values
        phi = step(policy, start, before, before_values, 0.1)
        after = collect(policy, phi, environment, tasks, 6, [1, number, 1])
        played = Played(
            before=before,
            before_values=before_values,
            after=after,
            after_values=advantages(after, how).values,
        )

        done = trpo_step(policy, theta, played, 0.1)

        was, _ = by_hand.outer(by_hand.leaves(theta), played, 0.1, theta, phi)
        now, apart = by_hand.outer(by_hand.leaves(done.theta), played, 0.1, theta, phi)
        assert float(apart.detach()) <= MAX_KL + 1e-5  # float32
        assert float(now.detach()) <= float(was.detach()) + 1e-6
        assert done.backtracks < 15
        theta = done.theta
