"""The kernel head against the textbook, and against refitting without each example."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.episodes import Examples, labelled
from models.heads import kernel
from models.heads.applying import apply_head
from models.heads.kernel import fit_kernel, without_idle_parts
from models.heads.layer import BIAS, WEIGHT, Head, linear_scores, start_head
from models.inner_loop import adapt, adapt_episodes
from models.kinds import find_kind
from models.learner import InnerLoop, Learner, predict_episodes
from models.networks import build_network
from models.normalisation import Params

KIND = find_kind("classification")
PROTOTYPES = Head(kind="prototype", scale=0.1)
KERNEL = InnerLoop(steps=1, adapts="kernel", guarded=True)


def clusters(seed: int, *, classes: int, kinds: int, shot: int, width: int = 6) -> Examples:
    """Classes of several far apart clusters each, as one episode (1, S, width)."""
    generator = torch.Generator().manual_seed(seed)
    middles = 4 * torch.randn(classes * kinds, 1, width, generator=generator)
    x = (middles + torch.randn(classes * kinds, shot, width, generator=generator)).flatten(0, 1)
    y = torch.arange(classes).repeat_interleave(kinds * shot)
    return labelled(x[None], y[None])


def start_of(support: Examples, outputs: int) -> tuple[Params, Tensor]:
    start = start_head(PROTOTYPES, {}, support.x, support, outputs)
    return start, KIND.losses(linear_scores(start, support.x), support)


def textbook(
    x: NDArray[np.float64], y: NDArray[np.int64], queries: NDArray[np.float64], width: float
) -> NDArray[np.float64]:
    """Kernel ridge regression in float64, solved as it stands (Rasmussen and Williams, 2.25)."""
    apart = np.square(x[:, None] - x[None]).sum(axis=2)
    scale = width * apart.sum() / (len(x) * (len(x) - 1))
    targets = np.eye(y.max() + 1)[y] - 1 / (y.max() + 1)
    gram = np.exp(-apart / scale) + kernel.RIDGE * np.eye(len(x))
    near = np.exp(-np.square(queries[:, None] - x[None]).sum(axis=2) / scale)
    return np.asarray(near @ np.linalg.solve(gram, targets))


def test_scores_are_those_of_kernel_ridge_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "SHARES", (0.0,))
    monkeypatch.setattr(kernel, "WIDTHS", (0.5,))
    support = clusters(1, classes=3, kinds=2, shot=3)
    queries = clusters(2, classes=3, kinds=2, shot=2).x

    head = fit_kernel(*_first(support, 3))
    scores = apply_head(head, queries, queries)[0]

    x, y = support.x[0].double().numpy(), support["y"][0].numpy()
    exact = textbook(x, y, queries[0].double().numpy(), 0.5)
    ratio = float((scores.double().numpy() * exact).sum() / np.square(exact).sum())
    assert ratio in kernel.SHARPNESSES or ratio == pytest.approx(
        min(kernel.SHARPNESSES, key=lambda s: abs(s - ratio)), rel=1e-4
    )
    np.testing.assert_allclose(scores.numpy() / ratio, exact, atol=1e-4)


def test_left_out_scores_are_those_of_fits_without_the_example() -> None:
    generator = torch.Generator().manual_seed(3)
    points = torch.randn(1, 7, 4, generator=generator)
    members = torch.eye(2)[torch.tensor([[0, 1, 0, 1, 1, 0, 0]])]
    near = kernel._squared_distances(points, points)

    fit = kernel._fit([near, near], 0.0, 1.0, members, torch.ones(1, 7))

    gram = np.exp(-near[0].double().numpy())
    for left in range(7):
        rest = [index for index in range(7) if index != left]
        inner = gram[np.ix_(rest, rest)] + kernel.RIDGE * np.eye(6)
        weights = np.linalg.solve(inner, members[0, rest].double().numpy() - 0.5)
        np.testing.assert_allclose(
            fit.left_out[0, left].numpy(), gram[left, rest] @ weights, atol=1e-5
        )


def test_classes_of_several_kinds_are_told_apart_where_their_means_are_not() -> None:
    right = {"means": 0.0, "kernel": 0.0}
    for seed in range(10):
        everything = clusters(seed, classes=2, kinds=6, shot=6)
        picked = torch.arange(72).view(12, 6)
        first, last = picked[:, :3].flatten(), picked[:, 3:].flatten()
        support = everything.each(lambda a, at=first: a[:, at])
        asked = everything.each(lambda a, at=last: a[:, at])
        start, losses = start_of(support, 2)
        head = fit_kernel(start, support.x, support, losses)
        right["means"] += float(KIND.scores(linear_scores(start, asked.x), asked)) / 10
        right["kernel"] += float(KIND.scores(apply_head(head, asked.x, asked.x), asked)) / 10

    assert right["kernel"] > right["means"] + 0.1


def test_the_inputs_stand_in_where_the_features_say_nothing() -> None:
    """Features that are noise, of inputs that tell the classes apart."""
    support = clusters(4, classes=3, kinds=1, shot=8)
    noise = torch.randn(1, 24, 5, generator=torch.Generator().manual_seed(5))
    start = start_head(PROTOTYPES, {}, noise, support, 3)
    losses = KIND.losses(linear_scores(start, noise), support)

    head = fit_kernel(start, noise, support, losses)

    assert float(head["head.share"]) >= 0.5
    asked = clusters(4, classes=3, kinds=1, shot=8)  # the same inputs, other noise
    others = torch.randn(1, 24, 5, generator=torch.Generator().manual_seed(6))
    assert float(KIND.scores(apply_head(head, others, asked.x), asked)) > 0.9


def test_stacked_episodes_are_fitted_as_each_alone() -> None:
    each = [clusters(seed, classes=3, kinds=2, shot=2) for seed in range(5)]
    together = Examples(
        arrays={name: torch.cat([one[name] for one in each]) for name in ("x", "y")}
    )

    stacked = fit_kernel(*_first(together, 3))

    for place, one in enumerate(each):
        alone = fit_kernel(*_first(one, 3))
        for name, value in alone.items():
            torch.testing.assert_close(stacked[name][place], value[0], atol=1e-5, rtol=1e-4)


def test_a_masked_example_is_as_if_it_had_not_been_sent() -> None:
    support = clusters(6, classes=2, kinds=2, shot=3)
    mask = torch.ones(1, 12, dtype=torch.bool)
    mask[0, [4, 11]] = False
    masked = Examples(arrays=support.arrays, mask=mask).cleared()
    fewer = support.each(lambda array: array[:, mask[0]])

    head, least = fit_kernel(*_first(masked, 2)), fit_kernel(*_first(fewer, 2))

    queries = clusters(7, classes=2, kinds=2, shot=3).x
    torch.testing.assert_close(
        apply_head(head, queries, queries),
        apply_head(least, queries, queries),
        atol=1e-4,
        rtol=1e-4,
    )


def test_what_has_no_part_is_not_kept_and_not_missed() -> None:
    support = clusters(8, classes=3, kinds=1, shot=4)
    head = {name: value[0] for name, value in fit_kernel(*_first(support, 3)).items()}

    kept = without_idle_parts(head)

    assert set(kept) < set(head)
    torch.testing.assert_close(
        apply_head(kept, support.x[0], support.x[0]), apply_head(head, support.x[0], support.x[0])
    )


def test_with_one_example_of_each_class_the_class_means_stay() -> None:
    learner = _learner()
    support = clusters(9, classes=5, kinds=1, shot=1)
    theta = dict(learner.network.named_parameters())

    with torch.no_grad():
        fitted = adapt_episodes(learner, theta, support, KERNEL, outputs=5)
        start = adapt_episodes(
            learner, theta, support, InnerLoop(steps=0, adapts="kernel", guarded=True), outputs=5
        )
        queries = clusters(10, classes=5, kinds=1, shot=2).x
        told, expected = (
            predict_episodes(learner, one.params, one.statistics, queries)
            for one in (fitted, start)
        )

    torch.testing.assert_close(told, expected)
    assert float(fitted.losses[0, 1]) == float(fitted.losses[0, 0])


@pytest.mark.parametrize("shift", [0.0, 1e4])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_the_scale_and_place_of_features_change_no_prediction(scale: float, shift: float) -> None:
    support = clusters(11, classes=3, kinds=2, shot=3)
    queries = clusters(12, classes=3, kinds=2, shot=3).x
    moved = Examples(arrays={"x": (support.x + shift) * scale, "y": support["y"]})

    plain = fit_kernel(*_first(support, 3))
    other = fit_kernel(*_first(moved, 3, losses=torch.full((1,), 99.0)))

    at = (queries + shift) * scale
    torch.testing.assert_close(
        apply_head(other, at, at).softmax(-1),
        apply_head(plain, queries, queries).softmax(-1),
        atol=2e-2 if shift else 1e-4,
        rtol=1e-2,
    )


def test_the_fit_is_differentiable_in_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step along the gradient of a query loss changes it as the gradient says."""
    monkeypatch.setattr(kernel, "SHARES", (0.0,))
    support = clusters(13, classes=2, kinds=2, shot=3)
    queries = clusters(14, classes=2, kinds=2, shot=2)

    def loss(features: Tensor) -> Tensor:
        start = start_head(PROTOTYPES, {}, features, support, 2)
        head = fit_kernel(start, features, support, torch.full((1,), 99.0))
        return KIND.losses(apply_head(head, queries.x, queries.x), queries).sum()

    at = support.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(at), at)
    direction = gradient / gradient.norm()
    small = 1e-2
    with torch.no_grad():
        numeric = (loss(at + small * direction) - loss(at - small * direction)) / (2 * small)

    assert float(numeric) == pytest.approx(float(gradient.norm()), rel=2e-2)


def test_one_episode_is_adapted_like_a_stack_of_one() -> None:
    learner = _learner()
    support = clusters(15, classes=2, kinds=2, shot=3)
    theta = dict(learner.network.named_parameters())

    with torch.no_grad():
        alone = adapt(learner, theta, support.each(lambda a: a[0]), KERNEL, outputs=2)

    assert alone.losses.shape == (2,)
    assert float(alone.losses[1]) <= float(alone.losses[0])
    assert alone.params[WEIGHT].shape == (2, 8)
    assert alone.params[BIAS].shape == (2,)


def _first(
    support: Examples, outputs: int, losses: Tensor | None = None
) -> tuple[Params, Tensor, Examples, Tensor]:
    start, measured = start_of(support, outputs)
    return start, support.x, support, measured if losses is None else losses


def _learner() -> Learner:
    torch.manual_seed(0)
    network = build_network("mlp", {"inputs": 6, "hidden": [8], "normalised": False})
    return Learner(network=network.requires_grad_(False), head=PROTOTYPES, task="classification")
