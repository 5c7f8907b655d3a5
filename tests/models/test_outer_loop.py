"""Meta-gradients against central finite differences in float64, which know no autograd."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.episodes import Episodes
from models.heads.layer import Head, initial_head
from models.learner import InnerLoop, Learner
from models.networks import build_network
from models.normalisation import Params
from models.outer_loop import MetaParams, outer_loss

H = 1e-5


def smooth_learner(head: Head, normalised: bool) -> tuple[Learner, Params]:
    """A small MLP in float64, away from ReLU's kinks by its biases and data."""
    torch.manual_seed(3)
    config = {"inputs": 3, "hidden": [6, 5], "normalised": normalised}
    network = build_network("mlp", config).double()
    theta = {name: value.detach().clone() for name, value in network.named_parameters()}
    theta |= {
        name: value.double()
        for name, value in initial_head(head, 5, torch.Generator().manual_seed(1)).items()
    }
    return Learner(network=network, head=head, task="classification"), theta


def some_episodes() -> Episodes:
    generator = torch.Generator().manual_seed(4)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    labels = torch.tensor([[0, 1, 2, 0, 1, 2]] * 2)
    return Episodes(
        support_x=draw(2, 6, 3), support_y=labels, query_x=draw(2, 6, 3), query_y=labels, outputs=3
    )


def gradient_of(learner: Learner, theta: Params, recipe: InnerLoop, name: str) -> Tensor:
    leaves = {n: value.clone().requires_grad_() for n, value in theta.items()}
    losses, _ = outer_loss(learner, MetaParams(theta=leaves), some_episodes(), recipe)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    gradient = leaves[name].grad
    assert gradient is not None
    return gradient


def finite_difference(
    learner: Learner, theta: Params, recipe: InnerLoop, name: str, place: tuple[int, ...]
) -> float:
    def at(shift: float) -> float:
        moved = {n: value.clone() for n, value in theta.items()}
        moved[name][place] += shift
        losses, _ = outer_loss(learner, MetaParams(theta=moved), some_episodes(), recipe)
        return float(losses.sum())

    return (at(H) - at(-H)) / (2 * H)


@pytest.mark.parametrize("kind", ["linear", "prototype"])
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("normalisation", ["support", "batch"])
def test_the_meta_gradient_equals_finite_differences(
    kind: str, normalised: bool, normalisation: str
) -> None:
    head = Head(kind=kind, outputs=3, scale=0.3)  # type: ignore[arg-type]
    learner, theta = smooth_learner(head, normalised)
    learner = replace(learner, normalisation=normalisation)  # type: ignore[arg-type]
    recipe = InnerLoop(steps=3, step_size=0.2)

    for name in theta:
        gradient = gradient_of(learner, theta, recipe, name)
        place = tuple(int(i) for i in torch.unravel_index(gradient.abs().argmax(), gradient.shape))
        expected = finite_difference(learner, theta, recipe, name, place)
        assert gradient[place].item() == pytest.approx(expected, rel=1e-5, abs=1e-8), name


def test_the_first_order_gradient_differs_where_it_must() -> None:
    learner, theta = smooth_learner(Head(kind="linear", outputs=3), normalised=True)
    second = InnerLoop(steps=3, step_size=0.2)

    full = gradient_of(learner, theta, second, "linears.0.weight")
    first = gradient_of(learner, theta, replace(second, first_order=True), "linears.0.weight")

    assert (full - first).abs().max() > 1e-3


def test_without_a_step_first_and_second_order_agree() -> None:
    learner, theta = smooth_learner(Head(kind="prototype", scale=0.3), normalised=True)
    none = InnerLoop(steps=0)

    full = gradient_of(learner, theta, none, "linears.0.weight")
    first = gradient_of(learner, theta, replace(none, first_order=True), "linears.0.weight")

    torch.testing.assert_close(full, first)


def test_the_first_order_gradient_is_the_query_gradient_at_phi() -> None:
    """Finn et al. 2017, section 5.2: the gradient is evaluated at φ and used for θ."""
    learner, theta = smooth_learner(Head(kind="linear", outputs=3), normalised=False)
    recipe = InnerLoop(steps=1, step_size=0.2, first_order=True)
    episodes = some_episodes()

    got = gradient_of(learner, theta, recipe, "head.weight")

    expected = torch.zeros_like(got)
    for episode in range(2):
        leaves = {n: value.clone().requires_grad_() for n, value in theta.items()}
        inner = loss_by_hand(leaves, episodes.support_x[episode], episodes.support_y[episode])
        steps = torch.autograd.grad(inner, list(leaves.values()))
        phi = {
            n: (v - 0.2 * g).detach().requires_grad_()
            for (n, v), g in zip(leaves.items(), steps, strict=True)
        }
        outer = loss_by_hand(phi, episodes.query_x[episode], episodes.query_y[episode])
        expected += torch.autograd.grad(outer, phi["head.weight"])[0]
    torch.testing.assert_close(got, expected)


def loss_by_hand(params: Params, x: Tensor, y: Tensor) -> Tensor:
    hidden = torch.relu(x @ params["linears.0.weight"].T + params["linears.0.bias"])
    hidden = torch.relu(hidden @ params["linears.1.weight"].T + params["linears.1.bias"])
    scores = hidden @ params["head.weight"].T + params["head.bias"]
    return (scores.logsumexp(dim=1) - scores.gather(1, y[:, None])[:, 0]).mean()
