"""The paper's baselines, and the list of what is measured."""

from pathlib import Path

import pytest
import torch

from models.episodes import EpisodeShape
from models.learner import InnerLoop
from models.measuring.baselines import (
    evaluate_classifier,
    nearest_neighbour,
    nearest_prototype,
    tune_step_size,
)
from models.measuring.evaluation import evaluate
from models.measuring.reproductions import find_row, read_rows
from models.meta_training.recipes import FOLDER, read_recipe
from models.meta_training.training import build_learner, start
from models.networks import build_network
from models.tasks.classes import LabelledExamples
from models.tasks.sinusoid import Sinusoids

X = torch.tensor([[0.0], [2.0], [10.0]])
Y = torch.tensor([0, 0, 1])


def test_the_nearest_neighbour_and_the_nearest_prototype_differ_where_they_must() -> None:
    queries = torch.tensor([[5.7]])  # 3.7 from the neighbour 2, 4.7 from 1, the mean, 4.3 from 10

    assert nearest_neighbour(X, Y, queries).tolist() == [0]
    assert nearest_prototype(X, Y, queries).tolist() == [1]


def test_a_perfect_classifier_scores_one_hundred_percent() -> None:
    numbers = torch.arange(30).repeat_interleave(20) * 100 + torch.arange(20).repeat(30)
    apart = LabelledExamples(
        name="numbers",
        examples=numbers[:, None].float(),
        counts=(20,) * 30,
        names=tuple(str(i) for i in range(30)),
        splits={"test": list(range(30))},
        digest="",
    )

    measured = evaluate_classifier(
        nearest_prototype,
        apart,
        split="test",
        shape=EpisodeShape(way=3, shot=5, query=2),
        episodes=30,
        seed=1,
    )

    assert (measured.mean, measured.episodes, measured.steps) == (1.0, 30, 0)


def test_the_oracle_is_told_amplitude_and_phase() -> None:
    shape, generator = EpisodeShape(way=1, shot=4, query=6), torch.Generator().manual_seed(1)

    drawn = Sinusoids(oracle=True).draw("test", 9, shape, generator)

    x, amplitude, phase = drawn.query_x.unbind(dim=2)
    torch.testing.assert_close(drawn.query_y[..., 0], amplitude * torch.sin(x - phase))


def test_tuning_takes_the_step_size_that_is_best_in_validation() -> None:
    recipe = read_recipe("paper/sinusoid")
    learner = build_learner(recipe)
    meta, shape = start(recipe, learner).best, EpisodeShape(way=1, shot=10, query=10)
    sizes = (1e-4, 1e-2, 1e4)

    tuned = tune_step_size(
        learner,
        meta,
        InnerLoop(steps=3),
        Sinusoids(),
        candidates=sizes,
        shape=shape,
        episodes=50,
        seed=3,
    )

    scores = {
        size: evaluate(
            learner,
            meta,
            InnerLoop(steps=3, step_size=size),
            Sinusoids(),
            split="validation",
            shape=shape,
            episodes=50,
            seed=3,
        ).mean
        for size in sizes[:2]
    }
    assert tuned.step_size == min(scores, key=lambda size: scores[size])


def test_every_experiment_names_a_recipe_of_its_task() -> None:
    for row in read_rows():
        if row.recipe is None:
            assert row.not_measured
            continue
        recipe = read_recipe(row.recipe)
        for measure in row.measures:
            assert (measure.way == 1) == (recipe.task == "regression"), row.name
            assert measure.way <= recipe.max_way, row.name


# the widths of the others come from a person's own data, see test_fitting.py
WHOLE = [path for path in sorted(FOLDER.rglob("*.toml")) if read_recipe(path).input_shape]


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_a_recipes_network_takes_its_input_and_its_head_its_classes(path: Path) -> None:
    recipe = read_recipe(path)

    state = start(recipe, build_learner(recipe))

    assert state.meta.tensors()
    assert recipe.name == path.stem
    assert recipe.head.kind == "prototype" or recipe.head.outputs >= recipe.max_way


def test_the_papers_truncated_start_stays_within_two_deviations() -> None:
    recipe = read_recipe("paper/sinusoid")

    theta = start(recipe, build_learner(recipe)).meta.theta

    weight = theta["linears.1.weight"]
    assert weight.abs().max() <= 0.02
    assert weight.std().item() == pytest.approx(0.0088, rel=0.1)  # of a normal cut at 2 sd: 0.88 sd
    assert not theta["linears.0.bias"].any()


def test_an_unknown_experiment_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="omniglot-20way-1shot"):
        find_row("omniglot-30way")


def test_a_network_of_no_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="conv4"):
        build_network("resnet", {})
