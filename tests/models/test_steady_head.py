"""Steps on the head alone: against plain gradient descent, and against a solver's optimum."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.episodes import Examples, labelled
from models.heads.layer import BIAS, WEIGHT, Head, linear_scores
from models.heads.steady import steady_steps
from models.inner_loop import adapt_episodes
from models.kinds import find_kind
from models.learner import InnerLoop, Learner
from models.networks import build_network
from models.normalisation import Params

CLASSES = find_kind("classification")
VALUES = find_kind("regression")


def a_support_set(seed: int, *, scale: float = 1.0, shift: float = 0.0) -> Examples:
    """(4, 9, 5) features of three classes, at any scale and place."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4, 9, 5, generator=generator) * scale + shift
    return labelled(x, torch.arange(9).expand(4, 9) % 3)


def a_head(seed: int) -> Params:
    generator = torch.Generator().manual_seed(seed)
    return {
        WEIGHT: torch.randn(4, 3, 5, generator=generator),
        BIAS: torch.randn(4, 3, generator=generator),
    }


def walked(support: Examples, start: Params, steps: int, sizes: Tensor | None = None):  # type: ignore[no-untyped-def]
    """The points of so many steps."""
    points = steady_steps(
        start,
        support.x,
        lambda outputs: CLASSES.losses_back(outputs, support),
        mask=support.mask,
        curvature=0.5,
        sizes=sizes,
    )
    return [next(points) for _ in range(steps + 1)]


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (100.0, 0.0), (1.0, 50.0), (1e-6, 1.0)])
def test_the_loss_never_rises_whatever_the_features(scale: float, shift: float) -> None:
    points = walked(a_support_set(1, scale=scale, shift=shift), a_head(2), 40)

    losses = torch.stack([losses for _, losses, _ in points])
    assert bool((losses.diff(dim=0) <= 0).all())
    assert bool((losses[-1] < losses[0]).all())


def test_a_step_is_gradient_descent_on_centred_and_scaled_features() -> None:
    """One step of a given size, with numpy in float64."""
    support, start = a_support_set(3), a_head(4)

    [_, (head, _, _)] = walked(support, start, 1, torch.full((4,), 0.05))

    for e in range(4):
        x, y = support.x[e].double().numpy(), support["y"][e].numpy()
        centre, spread = x.mean(axis=0), np.sqrt(np.square(x - x.mean(axis=0)).mean())
        rows = np.column_stack([(x - centre) / spread, np.ones(9)])
        weight, bias = (start[name][e].double().numpy() for name in (WEIGHT, BIAS))
        both = np.column_stack([weight * spread, bias + weight @ centre])
        scores = rows @ both.T
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        both -= 0.05 * (chances - np.eye(3)[y]).T @ rows / 9
        np.testing.assert_allclose(head[WEIGHT][e].numpy(), both[:, :5] / spread, atol=1e-5)
        expected = both[:, 5] - both[:, :5] @ centre / spread
        np.testing.assert_allclose(head[BIAS][e].numpy(), expected, atol=1e-5)


def test_a_larger_step_than_the_longest_safe_one_is_not_taken() -> None:
    support = a_support_set(5, scale=30)

    asked = walked(support, a_head(6), 3, torch.tensor([1e9, 0.0, 1e9, 1e-3]))
    longest = walked(support, a_head(6), 3)

    sizes, most = asked[0][2], longest[0][2]
    assert torch.equal(sizes[:3], most[:3])
    assert float(sizes[3]) == pytest.approx(1e-3)


def test_many_steps_of_a_regression_end_at_the_least_squares() -> None:
    generator = torch.Generator().manual_seed(7)
    x, y = torch.randn(2, 12, 3, generator=generator), torch.randn(2, 12, 2, generator=generator)
    support = labelled(5 * x + 3, y)
    zero = {WEIGHT: torch.zeros(2, 2, 3), BIAS: torch.zeros(2, 2)}

    points = steady_steps(
        zero,
        support.x,
        lambda outputs: VALUES.losses_back(outputs, support),
        mask=None,
        curvature=1.0,
        sizes=None,
    )
    for _ in range(400):
        head, losses, _ = next(points)

    for e in range(2):
        rows = np.column_stack([support.x[e].double().numpy(), np.ones(12)])
        solution, *_ = np.linalg.lstsq(rows, y[e].double().numpy(), rcond=None)
        np.testing.assert_allclose(head[WEIGHT][e].numpy(), solution[:3].T, atol=1e-3)
        best = np.square(rows @ solution - y[e].double().numpy()).mean()
        assert float(losses[e]) == pytest.approx(best, rel=1e-4)


def test_what_is_masked_moves_nothing() -> None:
    support = a_support_set(8)
    mask = torch.ones(4, 9, dtype=torch.bool)
    mask[:, [2, 7]] = False
    strange = {"x": torch.where(mask[..., None], support.x, 1e6), "y": support["y"]}
    masked = Examples(arrays=strange, mask=mask).cleared()
    fewer = support.each(lambda array: array[:, mask[0]])

    (one, _, _), (other, _, _) = walked(masked, a_head(9), 5)[-1], walked(fewer, a_head(9), 5)[-1]

    torch.testing.assert_close(one[WEIGHT], other[WEIGHT], atol=1e-4, rtol=1e-4)


def test_constant_features_move_the_bias_alone() -> None:
    support = labelled(torch.full((4, 9, 5), 7.0), torch.arange(9).expand(4, 9) % 3)
    start = a_head(10)

    (head, losses, _) = walked(support, start, 200)[-1]

    torch.testing.assert_close(head[WEIGHT], start[WEIGHT])
    torch.testing.assert_close(losses, torch.full((4,), float(np.log(3))), atol=1e-3, rtol=1e-3)


def test_the_loop_reports_the_losses_of_the_heads_that_it_gives() -> None:
    torch.manual_seed(0)
    network = build_network("mlp", {"inputs": 5, "hidden": [7], "normalised": True})
    head = Head(kind="prototype", scale=0.1)
    learner = Learner(network=network.requires_grad_(False), head=head, task="classification")
    theta, support = dict(network.named_parameters()), a_support_set(11)
    recipe = InnerLoop(steps=6, adapts="head", guarded=True)

    with torch.no_grad():
        adapted = adapt_episodes(learner, theta, support, recipe, outputs=3)
        features = torch.stack(
            [_features(network, support.x[e], adapted.statistics, e) for e in range(4)]
        )

    scores = linear_scores(adapted.params, features)
    torch.testing.assert_close(
        CLASSES.losses(scores, support), adapted.losses[:, -1], atol=1e-5, rtol=1e-4
    )
    assert adapted.losses.shape == (4, 7)


def _features(network: torch.nn.Module, x: Tensor, statistics: Params, e: int) -> Tensor:
    from models.normalisation import forward

    return forward(network, None, x, {name: value[e] for name, value in statistics.items()})[0]
