"""The prior: a support set's statistics are those of one sample that holds both."""

import pytest
import torch

from models.episodes import EpisodeShape, labelled
from models.heads.layer import Head
from models.inner_loop import adapt
from models.learner import InnerLoop, Learner, predict
from models.meta_training.calibration import EXAMPLES, calibrate
from models.networks import build_network
from models.normalisation import Prior, forward, forward_together
from models.tasks.classes import LabelledExamples

CONFIG = {"inputs": 4, "hidden": [4], "normalised": True}


def one_layer() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """A layer whose normalisation sees the input itself."""
    network = build_network("mlp", CONFIG)
    theta = {name: value.detach() for name, value in network.named_parameters()}
    return network, theta | {"linears.0.weight": torch.eye(4)}


def test_the_prior_pools_two_samples_into_one() -> None:
    network, theta = one_layer()
    generator = torch.Generator().manual_seed(0)
    training = torch.randn(12, 4, generator=generator) * 3 + 2
    support = torch.randn(4, 4, generator=generator)
    prior = Prior(
        statistics={"norms.0.mean": training.mean(0), "norms.0.var": training.var(0, correction=0)},
        examples=12,
    )

    _, used = forward(network, theta, support, prior=prior)

    both = torch.cat([training, support])
    torch.testing.assert_close(used["norms.0.mean"], both.mean(0))
    torch.testing.assert_close(used["norms.0.var"], both.var(0, correction=0))


def test_a_layer_without_records_gives_the_same_output() -> None:
    network = build_network(
        "conv4", {"channels": 1, "filters": 4, "pooled": False, "flatten": True}
    )
    theta = {name: value.detach() for name, value in network.named_parameters()}
    x = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(3))

    recorded, _ = forward(network, theta, x)

    torch.testing.assert_close(forward_together(network, theta, x), recorded, atol=1e-5, rtol=1e-4)


def test_calibration_measures_the_training_examples() -> None:
    network, theta = one_layer()
    generator = torch.Generator().manual_seed(1)
    examples = torch.randn(2000, 4, generator=generator) * 2 - 1
    data = LabelledExamples(
        name="numbers",
        examples=examples,
        counts=(100,) * 20,
        names=tuple("abcdefghijklmnopqrst"),
        splits={"train": list(range(20)), "validation": [], "test": []},
        digest="",
    )
    learner = Learner(network=network, head=Head(kind="prototype"), task="classification")

    prior = calibrate(learner, theta, data, EpisodeShape(way=5, shot=1, query=4), examples=7)

    assert prior.examples == 7
    assert EXAMPLES == 500
    mean, var = prior.statistics["norms.0.mean"], prior.statistics["norms.0.var"]
    assert mean.tolist() == pytest.approx([-1.0] * 4, abs=6 * 2 / 500**0.5)
    assert var.tolist() == pytest.approx([4.0] * 4, rel=0.4)


def test_with_a_prior_a_query_still_depends_on_nothing_but_itself() -> None:
    network, theta = one_layer()
    statistics = {"norms.0.mean": torch.ones(4), "norms.0.var": torch.full((4,), 2.0)}
    learner = Learner(
        network=network,
        head=Head(kind="prototype", scale=0.1),
        task="classification",
        prior=Prior(statistics=statistics, examples=5),
    )
    generator = torch.Generator().manual_seed(2)
    x, queries = torch.randn(4, 4, generator=generator), torch.randn(1000, 4, generator=generator)
    adapted = adapt(
        learner,
        theta,
        labelled(x, torch.tensor([0, 1, 0, 1])),
        InnerLoop(steps=2, step_size=0.1),
        outputs=2,
    )

    together = predict(learner, adapted, queries)

    alone = torch.cat([predict(learner, adapted, query[None]) for query in queries])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
