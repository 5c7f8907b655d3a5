"""ProMP's outer step against its own formula, through plain autodiff."""

import pytest
import torch
from torch import Tensor
from torch.distributions import kl_divergence

from models.normalisation import Params
from models.policies.promp import CLIP, EPOCHS, INNER_KL, promp_step
from tests.policies import by_hand
from tests.policies.small import Scene, a_scene

KINDS = pytest.mark.parametrize("discrete", [False, True])


def loss_of(scene: Scene, theta: Params) -> Tensor:
    """Rothfuss et al. 2019, equations 11 to 13: rollouts and old policies stay the first ones."""
    played, losses = scene.played, list[Tensor]()
    for task in range(3):
        phi = by_hand.adapted(theta, played, scene.step_size, task, scene.theta)
        seen, acted = played.after.observations[task, :, :-1], played.after.actions[task]
        then, now = by_hand.said(by_hand.one(scene.phi, task), seen), by_hand.said(phi, seen)
        ratio = (now.log_prob(acted) - then.log_prob(acted)).exp()
        values = played.after_values[task]
        gain = torch.minimum(ratio * values, ratio.clamp(1 - CLIP, 1 + CLIP) * values)
        before = played.before.observations[task, :, :-1]
        apart = kl_divergence(by_hand.said(scene.theta, before), by_hand.said(theta, before))
        kept = INNER_KL * apart[played.before.mask[task]].mean()
        losses.append(kept - gain[played.after.mask[task]].mean())
    return torch.stack(losses).mean()


@KINDS
def test_a_step_is_so_many_of_adam_on_the_formula(discrete: bool) -> None:
    scene = a_scene(discrete=discrete)
    theta, expected = by_hand.leaves(scene.theta), by_hand.leaves(scene.theta)
    optimiser = torch.optim.Adam(theta.values(), lr=0.01)
    plain = torch.optim.Adam(expected.values(), lr=0.01)

    last = promp_step(scene.policy, theta, scene.played, scene.step_size, optimiser)

    for _ in range(EPOCHS):
        loss = loss_of(scene, expected)
        plain.zero_grad()
        loss.backward()
        plain.step()
    assert last == pytest.approx(float(loss.detach()), rel=1e-6, abs=1e-9)
    for name, value in expected.items():
        torch.testing.assert_close(theta[name], value, rtol=1e-6, atol=1e-7)


@KINDS
def test_a_step_lowers_its_own_loss(discrete: bool) -> None:
    scene = a_scene(discrete=discrete)
    theta = by_hand.leaves(scene.theta)
    optimiser = torch.optim.Adam(theta.values(), lr=0.003)
    first = float(loss_of(scene, theta).detach())

    promp_step(scene.policy, theta, scene.played, scene.step_size, optimiser)

    assert float(loss_of(scene, theta).detach()) < first - 1e-3
