"""The switches of the inner and outer loop, each against arithmetic written down by hand."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.episodes import Episodes, labelled
from models.heads.layer import BIAS, WEIGHT, Head, initial_head
from models.inner_loop import adapt, moves
from models.learner import InnerLoop, Learner
from models.meta_training.prototypes import prototype_loss
from models.networks import build_network
from models.normalisation import Params
from models.outer_loop import MetaParams, multi_step_weights, outer_loss


def learner_and_theta(head: Head, *, normalised: bool = True) -> tuple[Learner, Params]:
    torch.manual_seed(5)
    network = build_network("mlp", {"inputs": 3, "hidden": [6, 4], "normalised": normalised})
    network = network.double()
    theta: Params = {n: value.detach().clone() for n, value in network.named_parameters()}
    drawn = initial_head(head, 4, torch.Generator().manual_seed(1))
    theta |= {name: value.double() for name, value in drawn.items()}
    return Learner(network=network, head=head, task="classification"), theta


def support() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(6, 3, dtype=torch.float64, generator=generator)
    return x, torch.tensor([0, 1, 2, 0, 1, 2])


def episodes() -> Episodes:
    x, y = support()
    return Episodes(
        support_x=x[None],
        support_y=y[None],
        query_x=x.flip(0)[None] + 0.1,
        query_y=y.flip(0)[None],
        outputs=3,
    )


def changed(theta: Params, params: Params) -> set[str]:
    return {name for name in theta if not torch.equal(theta[name], params[name])}


def test_anil_moves_the_head_alone() -> None:
    learner, theta = learner_and_theta(Head(kind="linear", outputs=3))

    adapted = adapt(
        learner,
        theta,
        labelled(*support()),
        InnerLoop(steps=2, step_size=0.1, adapts="head"),
        outputs=3,
    )

    assert changed(theta, adapted.params) == {WEIGHT, BIAS}


def test_an_anil_step_is_the_closed_form_of_softmax_regression() -> None:
    learner, theta = learner_and_theta(Head(kind="linear", outputs=3), normalised=False)
    x, y = support()

    adapted = adapt(
        learner, theta, labelled(x, y), InnerLoop(steps=1, step_size=0.1, adapts="head"), outputs=3
    )

    hidden = torch.relu(x @ theta["linears.0.weight"].T + theta["linears.0.bias"])
    features = torch.relu(hidden @ theta["linears.1.weight"].T + theta["linears.1.bias"])
    wrong = (features @ theta[WEIGHT].T + theta[BIAS]).softmax(dim=1) - F.one_hot(y, 3)
    torch.testing.assert_close(adapted.params[WEIGHT], theta[WEIGHT] - 0.1 * wrong.T @ features / 6)
    torch.testing.assert_close(adapted.params[BIAS], theta[BIAS] - 0.1 * wrong.mean(dim=0))


def test_the_papers_inner_loop_leaves_the_normalisations_bias() -> None:
    learner, theta = learner_and_theta(Head(kind="linear", outputs=3))

    adapted = adapt(
        learner,
        theta,
        labelled(*support()),
        InnerLoop(steps=1, step_size=0.1, adapts="weights"),
        outputs=3,
    )

    left = {name for name in theta if not moves(learner.network, name, "weights")}
    assert left == {"norms.0.bias", "norms.1.bias"}
    assert changed(theta, adapted.params) == set(theta) - left


def test_meta_sgd_takes_a_step_size_for_every_element() -> None:
    learner, theta = learner_and_theta(Head(kind="linear", outputs=3), normalised=False)
    x, y = support()
    sizes = {n: torch.rand(1, *t.shape, dtype=torch.float64) for n, t in theta.items()}

    adapted = adapt(learner, theta, labelled(x, y), InnerLoop(steps=1, step_sizes=sizes), outputs=3)

    leaves = {n: t.clone().requires_grad_() for n, t in theta.items()}
    hidden = torch.relu(x @ leaves["linears.0.weight"].T + leaves["linears.0.bias"])
    features = torch.relu(hidden @ leaves["linears.1.weight"].T + leaves["linears.1.bias"])
    loss = F.cross_entropy(features @ leaves[WEIGHT].T + leaves[BIAS], y)
    gradients = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    for name, value in theta.items():
        expected = value - sizes[name][0] * gradients[name]
        torch.testing.assert_close(adapted.params[name], expected)


def test_step_sizes_of_unused_rows_of_a_head_stay_out() -> None:
    learner, theta = learner_and_theta(Head(kind="linear", outputs=3))
    x, y = support()
    sizes = {n: torch.full((1, *t.shape), 0.1, dtype=torch.float64) for n, t in theta.items()}
    two = y < 2

    learned = adapt(
        learner, theta, labelled(x[two], y[two]), InnerLoop(steps=2, step_sizes=sizes), outputs=2
    )
    plain = adapt(
        learner, theta, labelled(x[two], y[two]), InnerLoop(steps=2, step_size=0.1), outputs=2
    )

    torch.testing.assert_close(learned.params, plain.params)


def test_learned_step_sizes_have_a_meta_gradient() -> None:
    learner, theta = learner_and_theta(Head(kind="prototype", scale=0.3))
    size = 0.2

    def loss_at(shift: float) -> float:
        sizes = {n: torch.full((2,), size, dtype=torch.float64) for n in {*theta, WEIGHT, BIAS}}
        sizes["linears.0.weight"][1] += shift
        losses, _ = outer_loss(
            learner, MetaParams(theta=theta, step_sizes=sizes), episodes(), InnerLoop(steps=2)
        )
        return float(losses.sum())

    sizes = {n: torch.full((2,), size, dtype=torch.float64) for n in {*theta, WEIGHT, BIAS}}
    leaf = sizes["linears.0.weight"].requires_grad_()
    losses, _ = outer_loss(
        learner, MetaParams(theta=theta, step_sizes=sizes), episodes(), InnerLoop(steps=2)
    )
    (gradient,) = torch.autograd.grad(losses.sum(), [leaf])

    assert gradient[1].item() == pytest.approx((loss_at(1e-5) - loss_at(-1e-5)) / 2e-5, rel=1e-5)


def test_the_multi_step_loss_weighs_the_query_loss_after_every_step() -> None:
    learner, theta = learner_and_theta(Head(kind="linear", outputs=3))
    meta, recipe = MetaParams(theta=theta), InnerLoop(steps=3, step_size=0.2)
    weights = (0.2, 0.3, 0.5)

    total, _ = outer_loss(learner, meta, episodes(), recipe, weights=weights)

    after = [
        outer_loss(learner, meta, episodes(), replace(recipe, steps=steps))[0]
        for steps in (1, 2, 3)
    ]
    expected = sum((w * loss for w, loss in zip(weights, after, strict=True)), torch.zeros(1))
    torch.testing.assert_close(total, expected, check_dtype=False)


def test_multi_step_weights_go_from_equal_to_the_last() -> None:
    """Antoniou et al. 2019: 1/S each at first; in the end 0.03/S, and the rest for the last."""
    assert multi_step_weights(5, 0.0) == pytest.approx([0.2] * 5)
    assert multi_step_weights(5, 0.5) == pytest.approx([0.1] * 4 + [0.6])
    assert multi_step_weights(5, 1.0) == pytest.approx([0.006] * 4 + [0.976])
    assert multi_step_weights(1, 0.0) == (1.0,)


def test_episodes_stacked_and_alone_have_the_same_outer_loss() -> None:
    learner, theta = learner_and_theta(Head(kind="prototype", scale=0.3))
    one = episodes()
    both = Episodes(
        support_x=torch.cat([one.support_x, one.support_x * 2]),
        support_y=one.support_y.repeat(2, 1),
        query_x=torch.cat([one.query_x, one.query_x * 2]),
        query_y=one.query_y.repeat(2, 1),
        outputs=3,
    )
    recipe = InnerLoop(steps=2, step_size=0.1)

    stacked, _ = outer_loss(learner, MetaParams(theta=theta), both, recipe)
    alone = [
        outer_loss(learner, MetaParams(theta=theta), both.part(e, e + 1), recipe)[0] for e in (0, 1)
    ]

    torch.testing.assert_close(stacked, torch.cat(alone))


def test_the_prototype_loss_is_the_mean_over_every_choice_of_support() -> None:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(3, 4, 5, dtype=torch.float64, generator=generator)
    scale, losses, hits = 0.3, [], []

    loss, accuracy = prototype_loss(features, torch.arange(3), scale)

    for chosen in range(4):
        for example in range(4):
            for way in range(3):
                if example != chosen:
                    gaps = features[way, example] - features[:, chosen]
                    scores = -scale * gaps.square().sum(dim=1)
                    losses.append(scores.logsumexp(dim=0) - scores[way])
                    hits.append(float(scores.argmax() == way))
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    assert accuracy.item() == pytest.approx(sum(hits) / len(hits))
