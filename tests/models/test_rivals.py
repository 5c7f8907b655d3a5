"""The simplest methods beside a checkpoint, and the words about them where one does better."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from app.trainings.rivals import in_words
from models.episodes import EpisodeShape
from models.files.checkpoint import load_checkpoint
from models.heads.layer import Head
from models.learner import InnerLoop, Learner
from models.measuring.evaluation import Evaluation, evaluate
from models.measuring.rivals import (
    RIDGE,
    UNADAPTED,
    better_rivals,
    cubic_ridge,
    evaluate_rivals,
    mean_value,
)
from models.outer_loop import MetaParams
from models.tasks.classes import LabelledExamples
from models.tasks.sinusoid import Sinusoids

SINUSOID = Path(__file__).parents[2] / "models" / "checkpoints" / "sinusoid.safetensors"


def classes_of_two_places() -> LabelledExamples:
    """Twelve classes; each has examples at two opposite places, so that every mean is near zero."""
    places = torch.randn(12, 3, generator=torch.Generator().manual_seed(1)) * 10
    examples = [
        (-1) ** i * places[c] + 0.01 * torch.randn(3, generator=torch.Generator().manual_seed(i))
        for c in range(12)
        for i in range(20)
    ]
    return LabelledExamples(
        name="places",
        examples=torch.stack(examples),
        counts=(20,) * 12,
        names=tuple(str(i) for i in range(12)),
        splits={"test": list(range(12))},
        digest="",
    )


def measured(mean: float, *, ci95: float = 0.01) -> Evaluation:
    return Evaluation(
        protocol="one by one",
        episodes=9,
        way=2,
        shot=1,
        query=1,
        steps=3,
        seed=1,
        mean=mean,
        ci95=ci95,
    )


def test_a_cubic_is_found_by_five_of_its_points_and_a_mean_is_a_mean() -> None:
    x = torch.tensor([[-2.0], [-1.0], [0.0], [1.0], [2.0]])
    y = 1 - x + 0.5 * x**3

    told = cubic_ridge(x, y, torch.tensor([[1.5]]))

    assert told.item() == pytest.approx(1 - 1.5 + 0.5 * 1.5**3, abs=30 * RIDGE)
    assert mean_value(x, y, x[:2]).tolist() == [[1.0], [1.0]]


def test_a_cubic_is_the_same_in_other_units_of_each_input() -> None:
    generator = torch.Generator().manual_seed(3)
    x, queries = torch.rand(2, 8, 2, generator=generator)
    y = torch.randn(8, 1, generator=generator)
    units, shift = torch.tensor([1000.0, 0.25]), torch.tensor([3000.0, -7.0])

    told = cubic_ridge(x, y, queries)

    other = cubic_ridge(x * units + shift, y, queries * units + shift)
    torch.testing.assert_close(other, told, rtol=2e-3, atol=2e-3)  # float32 inputs of thousands


def test_every_rival_is_better_than_a_score_that_is_no_number() -> None:
    learner = Learner(network=nn.Flatten(), head=Head(kind="linear"), task="regression")
    lost = measured(float("nan"), ci95=float("nan"))
    rivals = {"cubic ridge": measured(3.0), "nearest input": measured(float("nan"))}

    assert better_rivals(learner, lost, rivals) == ["cubic ridge"]


def test_a_nearest_input_that_knows_better_than_class_means_is_told() -> None:
    learner = Learner(network=nn.Flatten(), head=Head(kind="prototype"), task="classification")
    distribution = classes_of_two_places()
    asked = {"split": "test", "shape": EpisodeShape(way=4, shot=8, query=4)}
    nothing = MetaParams(theta={"head.of_no_use": torch.zeros(1)})  # class means need no parameter
    subject = (learner, nothing, InnerLoop(steps=0), distribution)
    more = {"episodes": 20, "seed": 5, "protocol": "one by one"}

    rivals = evaluate_rivals(*subject, **asked, **more)  # type: ignore[arg-type]
    mine = evaluate(*subject, **asked, **more)  # type: ignore[arg-type]

    assert rivals["nearest input"].mean == 1.0
    assert mine.mean == pytest.approx(rivals["class means of the inputs"].mean)
    assert better_rivals(learner, mine, rivals) == ["nearest input"]
    assert in_words(learner, mine, rivals)[1] == (
        "warning: nearest input did better; you may not need this checkpoint"
    )


def test_the_shipped_sinusoid_beats_every_rival_and_no_word_is_lost_about_it() -> None:
    loaded = load_checkpoint(SINUSOID.read_bytes())
    subject = (loaded.learner, loaded.meta, loaded.recipe, Sinusoids())
    asked = {"split": "test", "shape": EpisodeShape(way=1, shot=5, query=50), "episodes": 60}
    more = {"seed": 7, "protocol": "one by one"}

    rivals = evaluate_rivals(*subject, **asked, **more)  # type: ignore[arg-type]
    mine = evaluate(*subject, **asked, **more)  # type: ignore[arg-type]

    assert set(rivals) == {UNADAPTED, "mean of the support", "nearest input", "cubic ridge"}
    assert rivals[UNADAPTED] == evaluate(
        loaded.learner,
        loaded.meta,
        replace(loaded.recipe, steps=0),
        Sinusoids(),
        **asked,  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )
    assert len(in_words(loaded.learner, mine, rivals)) == 1


def test_steps_that_harm_are_told_and_a_difference_within_the_interval_is_not() -> None:
    learner = Learner(network=nn.Flatten(), head=Head(kind="prototype"), task="classification")
    better, same = {UNADAPTED: measured(0.9)}, {UNADAPTED: measured(0.805)}

    assert in_words(learner, measured(0.8), better)[1].startswith(
        "warning: the inner steps do harm"
    )
    assert len(in_words(learner, measured(0.8), same)) == 1
