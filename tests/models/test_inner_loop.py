"""The inner loop against closed forms, a plain Python loop and torch's own autograd."""

import pytest
import torch
from torch import Tensor, nn

from models.episodes import labelled
from models.heads.layer import Head, initial_head
from models.inner_loop import adapt, adapt_episodes, walk
from models.learner import InnerLoop, Learner, episode_of, predict
from models.networks import build_network
from models.normalisation import Params

CONV4 = {"channels": 1, "filters": 4, "pooled": False, "flatten": False}


def conv_learner(head: Head) -> tuple[Learner, Params]:
    torch.manual_seed(0)
    network = build_network("conv4", CONV4)
    theta = {name: value.detach().clone() for name, value in network.named_parameters()}
    theta |= initial_head(head, 4, torch.Generator().manual_seed(0))
    return Learner(network=network, head=head, task="classification"), theta


def linear_learner() -> tuple[Learner, Params]:
    """f(x) = w x + b: an identity body under a linear head."""
    learner = Learner(network=nn.Flatten(), head=Head(kind="linear", outputs=1), task="regression")
    return learner, {"head.weight": torch.tensor([[2.0]]), "head.bias": torch.tensor([0.5])}


def pictures(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, 1, 28, 28, generator=torch.Generator().manual_seed(seed))


def test_one_step_on_a_line_equals_the_closed_form() -> None:
    learner, theta = linear_learner()
    x, y = torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [1.0]])

    adapted = adapt(learner, theta, labelled(x, y), InnerLoop(steps=1, step_size=0.1), outputs=1)

    # residuals 2.5 and 5.5; d/dw = mean(2 r x) = 19, d/db = mean(2 r) = 8
    assert adapted.params["head.weight"].item() == pytest.approx(2.0 - 0.1 * 19)
    assert adapted.params["head.bias"].item() == pytest.approx(0.5 - 0.1 * 8)
    assert adapted.losses.tolist() == pytest.approx([18.25, 0.5 * (0.2**2 + 1.0**2)], rel=1e-5)


def test_what_progress_raises_ends_the_walk_between_two_steps() -> None:
    learner, theta = linear_learner()
    x, y = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[0.0], [1.0]]])
    steps_left = iter(range(2))

    def progress() -> None:
        if next(steps_left, None) is None:
            raise TimeoutError

    long = InnerLoop(steps=1000, step_size=0.01)
    points = walk(learner, theta, labelled(x, y), long, outputs=1, progress=progress)
    losses = [next(points).losses.item() for _ in range(3)]
    with pytest.raises(TimeoutError):
        next(points)

    short = adapt(
        learner, theta, labelled(x[0], y[0]), InnerLoop(steps=2, step_size=0.01), outputs=1
    )
    assert losses == pytest.approx(short.losses.tolist())


def test_zero_steps_leave_theta_as_it_is() -> None:
    learner, theta = linear_learner()
    x, y = torch.ones(2, 1), torch.ones(2, 1)

    adapted = adapt(learner, theta, labelled(x, y), InnerLoop(steps=0), outputs=1)

    assert torch.equal(adapted.params["head.weight"], theta["head.weight"])
    assert adapted.losses.shape == (1,)


def test_a_prediction_alone_equals_the_same_among_a_thousand() -> None:
    learner, theta = conv_learner(Head(kind="prototype", scale=0.1))
    adapted = adapt(
        learner,
        theta,
        labelled(pictures(5), torch.arange(5)),
        InnerLoop(steps=2, step_size=0.1),
        outputs=5,
    )
    queries = pictures(1000, seed=2)

    together = predict(learner, adapted, queries)

    alone = torch.cat([predict(learner, adapted, queries[i : i + 1]) for i in range(0, 1000, 50)])
    torch.testing.assert_close(together[::50], alone, rtol=0, atol=1e-5)


def test_transductive_predictions_do_see_each_other() -> None:
    learner, theta = conv_learner(Head(kind="prototype", scale=0.1))
    paper = Learner(
        network=learner.network, head=learner.head, task="classification", normalisation="batch"
    )
    adapted = adapt(
        paper, theta, labelled(pictures(5), torch.arange(5)), InnerLoop(steps=0), outputs=5
    )
    queries = pictures(10, seed=2)

    together, halves = predict(paper, adapted, queries), predict(paper, adapted, queries[:5])

    assert (together[:5] - halves).abs().max() > 1e-3


def test_a_prototype_head_scores_by_distance_to_the_class_means() -> None:
    learner = Learner(
        network=nn.Flatten(), head=Head(kind="prototype", scale=0.5), task="classification"
    )
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 5.0]])  # two shots of class 0, one of class 1
    adapted = adapt(
        learner,
        {},
        labelled(x, torch.tensor([0, 0, 1])),
        InnerLoop(steps=0, step_size=0.0),
        outputs=2,
    )
    query = torch.tensor([[1.0, 4.0]])

    scores = predict(learner, adapted, query)

    # squared distances to (1, 0) and (0, 5): 16 and 2; scores differ by 0.5 (16 - 2)
    assert (scores[0, 1] - scores[0, 0]).item() == pytest.approx(7.0)


def test_a_fixed_head_leaves_unused_rows_out() -> None:
    learner, theta = conv_learner(Head(kind="linear", outputs=5))

    adapted = adapt(
        learner,
        theta,
        labelled(pictures(2), torch.arange(2)),
        InnerLoop(steps=1, step_size=0.1),
        outputs=2,
    )

    assert adapted.params["head.weight"].shape == (2, 4)
    assert predict(learner, adapted, pictures(3)).shape == (3, 2)


def test_learned_step_sizes_beyond_the_last_reuse_it() -> None:
    learner, theta = linear_learner()
    x, y = torch.ones(1, 1), torch.zeros(1, 1)
    sizes = {"head.weight": torch.tensor([0.0, 0.1]), "head.bias": torch.tensor([0.0, 0.0])}

    adapted = adapt(learner, theta, labelled(x, y), InnerLoop(steps=3, step_sizes=sizes), outputs=1)

    # step 1 of size 0; then twice w -= 0.1 · 2 (w + 0.5): w + 0.5 shrinks by 0.8 each time
    assert adapted.params["head.weight"].item() == pytest.approx(2.5 * 0.8**2 - 0.5)


def test_identical_support_pictures_give_finite_parameters() -> None:
    learner, theta = conv_learner(Head(kind="prototype", scale=0.1))

    adapted = adapt(
        learner,
        theta,
        labelled(torch.zeros(5, 1, 28, 28), torch.arange(5)),
        InnerLoop(steps=3, step_size=0.4),
        outputs=5,
    )

    assert all(bool(value.isfinite().all()) for value in adapted.params.values())


def test_picking_an_episode_picks_it_everywhere() -> None:
    learner, theta = conv_learner(Head(kind="prototype", scale=0.1))
    x, y = pictures(2, 2), torch.tensor([[0, 1], [0, 1]])

    batched = adapt_episodes(
        learner, theta, labelled(x, y), InnerLoop(steps=1, step_size=0.1), outputs=2
    )

    second = episode_of(batched, 1)
    assert torch.equal(second.losses, batched.losses[1])
    assert all(torch.equal(v, batched.statistics[n][1]) for n, v in second.statistics.items())
