"""Stacked episodes against a plain Python loop over them, and layers against torch's own."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import models.engine.patches
from models.engine.backward import RecordedLayers
from models.engine.gradients import convolve_rows, convolved_back, normalise_, normalised_back
from models.engine.layers import (
    Known,
    Layers,
    episodes_at_once,
    forward_stacked,
    is_stackable,
    normalise,
)
from models.engine.patches import convolve
from models.episodes import Episodes
from models.heads.layer import Head, initial_head
from models.inner_loop import adapt_episodes
from models.learner import InnerLoop, Learner, episode_of, predict, predict_episodes
from models.networks import Conv4, build_network
from models.normalisation import EpisodeNorm, Params, Prior, forward, name_layers
from models.outer_loop import MetaParams, outer_loss
from tests import plain_maml

CONV4 = {"channels": 2, "filters": 6, "pooled": False, "flatten": False}
POOLED = {"channels": 2, "filters": 6, "pooled": True, "flatten": True, "bias": True}
MLP = {"inputs": 2 * 18 * 18, "hidden": [7, 5], "normalised": True}
PLAIN_MLP = MLP | {"normalised": False}
NETWORKS = [("conv4", CONV4), ("conv4", POOLED), ("mlp", MLP), ("mlp", PLAIN_MLP)]


class Gestures(nn.Module):
    """A network of somebody else, which knows nothing of stacked episodes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(36, 5, 3)
        self.norm = EpisodeNorm(5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.norm(self.conv(x.flatten(1, 2)))).mean(dim=2)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def learner_of(name: str, config: dict[str, Any], head: Head, *, prior: bool) -> Any:
    """A learner and its theta in float64, so that any disagreement is a mistake."""
    torch.manual_seed(2)
    network = build_network(name, config) if name != "theirs" else name_layers(Gestures())
    network = network.double()
    theta = {n: t.detach() + 0.1 * torch.randn_like(t) for n, t in network.named_parameters()}
    x = torch.rand(8, 2, 18, 18, dtype=torch.float64, generator=generator(7))
    features, statistics = forward(network, theta, x)
    drawn = initial_head(head, features.shape[1], generator(1))
    theta |= {n: t.double() for n, t in drawn.items()}
    kept = Prior(statistics={n: t.detach() for n, t in statistics.items()}, examples=4.0)
    learner = Learner(
        network=network, head=head, task="classification", prior=kept if prior else None
    )
    return learner, theta


def some_episodes(count: int) -> Episodes:
    def draw(seed: int) -> Tensor:
        return torch.rand(count, 6, 2, 18, 18, dtype=torch.float64, generator=generator(seed))

    y = torch.tensor([0, 1, 2, 0, 1, 2]).repeat(count, 1)
    return Episodes(support_x=draw(3), support_y=y, query_x=draw(4), query_y=y.flip(1), outputs=3)


def close(found: Params, expected: Params) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-11, msg=name)


@pytest.mark.parametrize(("name", "config"), [*NETWORKS, ("theirs", {})])
@pytest.mark.parametrize("kind", ["linear", "prototype"])
@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("count", [1, 4])
def test_stacked_episodes_equal_a_plain_loop(
    name: str, config: dict[str, Any], kind: Any, prior: bool, count: int
) -> None:
    learner, theta = learner_of(name, config, Head(kind=kind, outputs=3, scale=0.1), prior=prior)
    drawn, recipe = some_episodes(count), InnerLoop(steps=3, step_size=0.1)

    stacked = adapt_episodes(learner, theta, drawn.support, recipe, outputs=drawn.outputs)

    for e in range(count):
        support = (drawn.support_x[e], drawn.support_y[e])
        phi, statistics, losses = plain_maml.adapt(learner, theta, *support, recipe, outputs=3)
        one = episode_of(stacked, e)
        close(one.params, phi)
        close(one.statistics, {n: t.detach() for n, t in statistics.items()})
        torch.testing.assert_close(one.losses, torch.stack(losses), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("name", "config"), [*NETWORKS, ("theirs", {})])
@pytest.mark.parametrize("kind", ["linear", "prototype"])
@pytest.mark.parametrize("normalisation", ["support", "batch"])
@pytest.mark.parametrize("large", [0, 10**9])
def test_the_meta_gradient_equals_that_of_a_plain_loop(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    config: dict[str, Any],
    kind: Any,
    normalisation: Any,
    large: int,
) -> None:
    monkeypatch.setattr(models.engine.patches, "LARGE", large)
    learner, theta = learner_of(name, config, Head(kind=kind, outputs=3, scale=0.1), prior=True)
    learner = replace(learner, normalisation=normalisation)
    drawn, recipe = some_episodes(3), InnerLoop(steps=2, step_size=0.1)
    ours = {n: t.clone().requires_grad_() for n, t in theta.items()}
    plain = {n: t.clone().requires_grad_() for n, t in theta.items()}

    losses, _ = outer_loss(learner, MetaParams(theta=ours), drawn, recipe)
    losses.mean().backward()  # type: ignore[no-untyped-call]

    expected = plain_maml.outer_loss(learner, plain, drawn, recipe)
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(losses.mean(), expected, rtol=1e-6, atol=1e-9)
    close(
        {n: t.grad for n, t in ours.items() if t.grad is not None},
        {n: t.grad for n, t in plain.items() if t.grad is not None},
    )


def test_step_sizes_of_stacked_episodes_may_differ() -> None:
    learner, theta = learner_of("conv4", CONV4, Head(kind="prototype", scale=0.1), prior=True)
    drawn, sizes = some_episodes(3), torch.tensor([0.0, 0.1, 0.4], dtype=torch.float64)

    stacked = adapt_episodes(
        learner,
        theta,
        drawn.support,
        InnerLoop(steps=2, step_size=sizes),
        outputs=3,
    )

    for e, size in enumerate(sizes.tolist()):
        recipe, support = (
            InnerLoop(steps=2, step_size=size),
            (drawn.support_x[e], drawn.support_y[e]),
        )
        phi, _, _ = plain_maml.adapt(learner, theta, *support, recipe, outputs=3)
        close(episode_of(stacked, e).params, phi)


@pytest.mark.parametrize(("name", "config"), NETWORKS)
def test_stacked_predictions_equal_those_of_the_modules(name: str, config: dict[str, Any]) -> None:
    learner, theta = learner_of(name, config, Head(kind="prototype", scale=0.1), prior=True)
    drawn = some_episodes(4)
    recipe = InnerLoop(steps=1, step_size=0.1)
    adapted = adapt_episodes(learner, theta, drawn.support, recipe, outputs=drawn.outputs)

    scores = predict_episodes(learner, adapted.params, adapted.statistics, drawn.query_x)

    for e in range(4):
        alone = predict(learner, episode_of(adapted, e), drawn.query_x[e])
        torch.testing.assert_close(scores[e], alone, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 5), (6, 8), (2, 1), (1, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("large", [0, 10**9])
def test_a_stacked_convolution_is_torchs_for_every_episode(
    monkeypatch: pytest.MonkeyPatch,
    stride: int,
    size: tuple[int, int],
    layout: torch.memory_format,
    large: int,
) -> None:
    monkeypatch.setattr(models.engine.patches, "LARGE", large)  # episode by episode, or all at once
    x = torch.randn(3, 2, *size, 4, dtype=torch.float64, generator=generator(1))
    weight = torch.randn(3, 5, 4, 3, 3, dtype=torch.float64, generator=generator(2))
    weight = torch.stack([one.contiguous(memory_format=layout) for one in weight])

    maps = convolve(x, weight, stride)

    for e in range(3):
        expected = F.conv2d(x[e].permute(0, 3, 1, 2), weight[e], stride=stride, padding=1)
        torch.testing.assert_close(maps[e].permute(0, 3, 1, 2), expected)


def test_stacked_pooling_is_torchs_for_every_episode() -> None:
    x = torch.randn(3, 2, 7, 6, 4, generator=generator(1))

    pooled = Layers(params={}).halve(x)

    for e in range(3):
        expected = F.max_pool2d(x[e].permute(0, 3, 1, 2), 2)
        assert torch.equal(pooled[e].permute(0, 3, 1, 2), expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_stacked_convolution_is_twice_differentiable(stride: int) -> None:
    x = torch.randn(2, 1, 3, 4, 2, dtype=torch.float64, generator=generator(1))
    weight = torch.randn(2, 2, 2, 3, 3, dtype=torch.float64, generator=generator(2))
    tensors = (x.requires_grad_(), weight.requires_grad_())

    def maps(x: Tensor, weight: Tensor) -> Tensor:
        return convolve(x, weight, stride)

    assert torch.autograd.gradcheck(maps, tensors)
    assert torch.autograd.gradgradcheck(maps, tensors)


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_the_normalisation_is_twice_differentiable(share: float) -> None:
    rows, bias, mean, var = drawn_tensors((2, 7, 3), (2, 3), (3,), (3,))

    def outputs(rows: Tensor, bias: Tensor) -> Any:
        return normalise(rows, bias, Known(mean, var.square(), share), 1e-3)

    tensors = (rows.requires_grad_(), bias.requires_grad_())
    assert torch.autograd.gradcheck(outputs, tensors)
    assert torch.autograd.gradgradcheck(outputs, tensors)


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_the_written_normalisation_and_its_gradient_are_the_graphs(share: float) -> None:
    rows, bias, mean, var, for_z = drawn_tensors((2, 7, 3), (2, 3), (3,), (3,), (2, 7, 3))
    known = Known(mean, var.square(), share)
    tensors = (rows.clone().requires_grad_(), bias.requires_grad_())
    z, *statistics = normalise(*tensors, known, 1e-3)

    *written, saved = normalise_(rows, bias.detach(), known, 1e-3)
    gradients = normalised_back(saved, for_z)

    torch.testing.assert_close(saved.activation, z.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(written, [s.detach() for s in statistics], rtol=1e-12, atol=1e-12)
    expected = torch.autograd.grad(z, tensors, for_z)
    torch.testing.assert_close(gradients, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("large", [0, 10**9])
def test_the_written_gradient_of_a_block_is_that_of_differences(
    monkeypatch: pytest.MonkeyPatch, share: float, stride: int, large: int
) -> None:
    monkeypatch.setattr(models.engine.patches, "LARGE", large)
    shapes = ((2, 2, 4, 3, 2), (2, 3, 2, 3, 3), (2, 3), (3,), (3,))
    x, weight, bias, mean, var = drawn_tensors(*shapes)

    class Block(torch.autograd.Function):
        """The written block, so that torch can compare it with differences."""

        @staticmethod
        def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            rows, ctx.conv = convolve_rows(x, weight, stride)
            _, _, ctx.norm = normalise_(rows, bias, Known(mean, var.square(), share), 1e-3)
            return ctx.norm.activation.clone()

        @staticmethod
        def backward(ctx: Any, for_z: Tensor) -> Any:
            for_rows, for_bias = normalised_back(ctx.norm, for_z)
            return *convolved_back(ctx.conv, for_rows, to_x=True), for_bias

    tensors = (x.requires_grad_(), weight.requires_grad_(), bias.requires_grad_())
    assert torch.autograd.gradcheck(Block.apply, tensors)


def drawn_tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [
        torch.randn(*shape, dtype=torch.float64, generator=generator(seed))
        for seed, shape in enumerate(shapes)
    ]


def test_more_small_support_sets_than_large_ones_go_into_one_call() -> None:
    conv4 = build_network("conv4", CONV4 | {"channels": 1, "filters": 64})
    pooled = build_network("conv4", POOLED | {"channels": 3, "filters": 32})
    mlp = build_network("mlp", {"inputs": 1, "hidden": [40, 40], "normalised": False})

    few, many, colour, points = (
        episodes_at_once(conv4, (5, 1, 28, 28)),
        episodes_at_once(conv4, (25, 1, 28, 28)),
        episodes_at_once(pooled, (5, 3, 84, 84)),
        episodes_at_once(mlp, (10, 1)),
    )

    assert few > many > 1 == colour
    assert points > 1000


def test_networks_of_ours_say_how_they_stack() -> None:
    for name, config in NETWORKS:
        assert is_stackable(build_network(name, config))
    assert not is_stackable(Gestures())


class Scaled(Conv4):
    """A network of somebody else that takes one of ours and changes what it does."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * super().forward(x)


def test_a_subclass_with_another_forward_is_not_run_as_its_parent() -> None:
    network = name_layers(Scaled(**CONV4))
    theta = {n: t.detach() for n, t in network.named_parameters()}
    x = torch.rand(2, 4, 2, 18, 18, generator=generator(5))
    both = {name: torch.stack([value, value]) for name, value in theta.items()}

    features, _ = forward_stacked(network, both, x)

    for e in range(2):
        torch.testing.assert_close(features[e], forward(network, theta, x[e])[0])


def test_rewound_layers_hold_no_memory_any_more() -> None:
    learner, theta = learner_of("conv4", CONV4, Head(kind="linear", outputs=3), prior=False)
    recorded = RecordedLayers(params={name: value[None] for name, value in theta.items()})
    features = learner.network.stacked(recorded, some_episodes(1).support_x)
    assert len(recorded.backs) == 5  # four blocks and the mean

    recorded.rewind(torch.ones_like(features))

    assert recorded.backs == []
    assert set(recorded.gradients) == {name for name in theta if not name.startswith("head.")}
