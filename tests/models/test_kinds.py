"""Each kind's loss, gradient and score beside torch's own, with and without a mask."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.episodes import Examples, labelled
from models.heads.layer import Head
from models.inner_loop import adapt
from models.kinds import KINDS, Classification, Kind, Regression, find_kind
from models.learner import InnerLoop, Learner
from models.networks import build_network

CLASSES = 3


def examples(kind: Kind, generator: torch.Generator) -> tuple[Tensor, Examples]:
    """Outputs (2, 5, 3) and examples of two episodes, in float64."""
    outputs = torch.randn(2, 5, CLASSES, dtype=torch.float64, generator=generator)
    x = torch.randn(2, 5, 4, dtype=torch.float64, generator=generator)
    if isinstance(kind, Classification):
        return outputs, labelled(x, torch.randint(0, CLASSES, (2, 5), generator=generator))
    y = torch.randn(2, 5, CLASSES, dtype=torch.float64, generator=generator)
    return outputs, labelled(x, y)


def by_torch(kind: Kind, outputs: Tensor, y: Tensor) -> Tensor:
    if isinstance(kind, Classification):
        return F.cross_entropy(outputs, y)
    return F.mse_loss(outputs, y)


OF_EXAMPLES = {name: kind for name, kind in KINDS.items() if name != "policy"}


@pytest.fixture(params=OF_EXAMPLES.values(), ids=OF_EXAMPLES)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def test_the_loss_of_each_episode_is_torchs(kind: Kind, generator: torch.Generator) -> None:
    outputs, given = examples(kind, generator)

    losses = kind.losses(outputs, given)

    expected = [by_torch(kind, o, y) for o, y in zip(outputs, given["y"], strict=True)]
    torch.testing.assert_close(losses, torch.stack(expected), rtol=1e-12, atol=1e-12)


def test_what_a_mask_leaves_out_has_no_part_in_loss_score_and_gradient(
    kind: Kind, generator: torch.Generator
) -> None:
    outputs, given = examples(kind, generator)
    mask = torch.tensor([[True, False, True, True, False], [False, True, False, False, False]])
    broken = torch.where(mask[..., None], outputs, torch.inf)
    masked = Examples(arrays=given.arrays, mask=mask)

    losses, gradient = kind.losses_back(broken, masked)

    for e in range(2):
        kept = mask[e].nonzero()[:, 0]
        at = outputs[e, kept].requires_grad_()
        expected = by_torch(kind, at, given["y"][e, kept])
        (alone,) = torch.autograd.grad(expected, at)
        alone_scored = kind.scores(at.detach()[None], labelled(at[None], given["y"][e, kept][None]))
        torch.testing.assert_close(losses[e], expected.detach(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(kind.losses(broken, masked)[e], losses[e])
        torch.testing.assert_close(gradient[e, kept], alone, rtol=1e-12, atol=1e-12)
        assert not gradient[e, ~mask[e]].any()
        torch.testing.assert_close(kind.scores(broken, masked)[e], alone_scored[0])


def test_the_written_gradient_is_the_graphs(kind: Kind, generator: torch.Generator) -> None:
    outputs, given = examples(kind, generator)

    losses, gradient = kind.losses_back(outputs, given)

    by_graph, of_graph = Kind.losses_back(kind, outputs, given)
    torch.testing.assert_close(losses, by_graph, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, of_graph, rtol=1e-12, atol=1e-12)


def test_two_equal_scores_cost_the_logarithm_of_two() -> None:
    given = labelled(torch.zeros(1, 2, 1), torch.tensor([[0, 1]]))

    (loss,) = Classification().losses(torch.zeros(1, 2, 2), given)

    assert loss.item() == pytest.approx(0.6931472)


def test_the_better_score_has_the_larger_merit() -> None:
    assert Classification().merit(0.9) > Classification().merit(0.8)
    assert Regression().merit(0.1) > Regression().merit(0.2)


@pytest.mark.parametrize("head", ["linear", "prototype"])
@pytest.mark.parametrize("adapts", ["all", "head"])
@pytest.mark.parametrize("meta", [False, True])
def test_a_masked_support_set_adapts_like_the_smaller_one_whatever_stands_in_the_rest(
    head: Any, adapts: Any, meta: bool, generator: torch.Generator
) -> None:
    network = build_network("mlp", {"inputs": 4, "hidden": [6], "normalised": False}).double()
    learner = Learner(
        network=network, head=Head(kind=head, outputs=3, scale=0.1), task="classification"
    )
    theta = {name: value.detach() for name, value in network.named_parameters()}
    if head == "linear":
        theta["head.weight"] = torch.randn(3, 6, dtype=torch.float64, generator=generator)
        theta["head.bias"] = torch.zeros(3, dtype=torch.float64)
    theta = {name: value.requires_grad_(meta) for name, value in theta.items()}
    x = torch.randn(5, 4, dtype=torch.float64, generator=generator)
    y, mask = torch.tensor([0, 1, 2, -1, 2]), torch.tensor([True, True, True, False, True])
    x[3] = torch.nan
    recipe = InnerLoop(steps=3, step_size=0.1, adapts=adapts)

    masked = adapt(learner, theta, Examples(arrays={"x": x, "y": y}, mask=mask), recipe, outputs=3)

    smaller = adapt(learner, theta, labelled(x[mask], y[mask]), recipe, outputs=3)
    for name, value in smaller.params.items():
        torch.testing.assert_close(masked.params[name], value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(masked.losses, smaller.losses, rtol=1e-12, atol=1e-12)


def test_a_mask_is_refused_where_the_support_set_normalises() -> None:
    network = build_network("mlp", {"inputs": 4, "hidden": [6], "normalised": True})
    learner = Learner(network=network, head=Head(kind="prototype"), task="classification")
    given = Examples(
        arrays={"x": torch.zeros(2, 4), "y": torch.tensor([0, 1])}, mask=torch.ones(2).bool()
    )

    with pytest.raises(ValueError, match="expected no mask"):
        adapt(learner, dict(network.named_parameters()), given, InnerLoop(steps=1), outputs=2)


def test_an_unknown_kind_is_refused_with_those_that_there_are() -> None:
    learner = Learner(network=nn.Flatten(), head=Head(kind="linear", outputs=1), task="ranking")

    with pytest.raises(ValueError, match="'ranking', expected one of classification, regression"):
        _ = learner.kind
    assert find_kind("regression") is KINDS["regression"]


def test_scores_that_are_no_numbers_are_no_accuracy() -> None:
    """The first of several NaN is the largest to ``argmax``, and may be the right class."""
    outputs = torch.tensor([[[torch.nan, torch.nan], [0.0, 1.0]], [[1.0, 0.0], [-torch.inf, 1.0]]])
    examples = labelled(torch.zeros(2, 2, 1), torch.tensor([[0, 1], [0, 1]]))

    scores = KINDS["classification"].scores(outputs, examples)

    torch.testing.assert_close(scores, torch.tensor([torch.nan, 1.0]), equal_nan=True)
