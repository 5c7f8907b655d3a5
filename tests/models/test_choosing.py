"""The served inner loop is chosen on validation: no step unless steps are better."""

from dataclasses import replace

import pytest
import torch

from models.learner import InnerLoop
from models.measuring.evaluation import draw_episodes
from models.meta_training.choosing import CHOICE_SEED, choose_loop
from models.meta_training.recipes import Recipe, read_recipe
from models.meta_training.training import build_learner, start, train
from models.tasks.classes import LabelledExamples
from models.tasks.sinusoid import Sinusoids
from tests import plain_maml


def short_sinusoid() -> Recipe:
    recipe = read_recipe("sinusoid")
    stage = replace(recipe.stages[0], iterations=40, episodes=4, shot=(5, 10))
    validation = replace(recipe.validation, every=40, episodes=10)
    gentle = replace(recipe.inner_loop, step_size=0.003)  # no step is ever taken back
    return replace(recipe, stages=(stage,), validation=validation, inner_loop=gentle)


def far_apart(*, classes: int = 8, each: int = 12) -> LabelledExamples:
    """Classes that their means already tell apart without an error."""
    generator = torch.Generator().manual_seed(0)
    centres = 10 * torch.randn(classes, 6, generator=generator)
    noise = 0.01 * torch.randn(classes, each, 6, generator=generator)
    return LabelledExamples(
        name="far",
        examples=(centres[:, None] + noise).flatten(0, 1),
        counts=(each,) * classes,
        names=tuple(str(c) for c in range(classes)),
        splits={"train": [0, 1, 2], "validation": [3, 4, 5], "test": [6, 7]},
        digest="",
    )


def test_what_is_tried_scores_as_a_plain_loop_over_episodes_does_and_the_best_is_taken() -> None:
    recipe = short_sinusoid()
    learner = build_learner(recipe)
    state = start(recipe, learner)
    list(train(recipe, learner, Sinusoids(), state))

    choice = choose_loop(recipe, learner, state.best, Sinusoids())

    assert choice.shots == (recipe.validation.shot, 10)
    judged = recipe.validation.shape
    shapes = [judged, replace(judged, shot=10, query=judged.query + judged.shot - 10)]
    for one in choice.tried:
        loop = InnerLoop(steps=one.steps, step_size=one.step_size)
        losses = [
            plain_maml.outer_loss(learner, state.best.theta, drawn, loop).item() * len(drawn)
            for shape in shapes
            for drawn in draw_episodes(
                Sinusoids(), split="validation", shape=shape, episodes=10, seed=CHOICE_SEED
            )
        ]
        assert one.mean == pytest.approx(sum(losses) / 20, rel=1e-3)
    assert [one.step_size for one in choice.tried[1:]] == [0.0009, 0.003, 0.009]
    best = min(choice.tried, key=lambda one: one.mean)
    assert (choice.loop.steps, choice.loop.step_size) == (10, best.step_size)
    assert choice.taken == best


def test_the_closed_form_stays_where_there_is_nothing_left_to_gain() -> None:
    recipe = read_recipe("features")
    recipe = replace(
        recipe,
        input_shape=(6,),
        network_config=recipe.network_config | {"inputs": 6},
        validation=replace(recipe.validation, episodes=10, way=3, query=8),
        inner_loop=replace(recipe.inner_loop, prior_examples=0),
    )
    learner = build_learner(recipe)

    choice = choose_loop(recipe, learner, start(recipe, learner).best, far_apart())

    assert choice.tried[0].mean == 1.0
    assert choice.loop == recipe.inner_loop
    assert (choice.taken.adapts, choice.taken.gain) == ("kernel", 0.0)
    assert [(one.adapts, one.steps) for one in choice.tried] == [
        ("all", 0),
        ("kernel", 3),
        *[("all", 3)] * 3,
    ]


def test_no_step_is_taken_where_there_is_nothing_left_to_gain() -> None:
    recipe = read_recipe("features")
    recipe = replace(
        recipe,
        input_shape=(6,),
        network_config=recipe.network_config | {"inputs": 6},
        validation=replace(recipe.validation, episodes=10, way=3, query=8),
        inner_loop=replace(recipe.inner_loop, prior_examples=0, adapts="all"),
    )
    learner = build_learner(recipe)

    choice = choose_loop(recipe, learner, start(recipe, learner).best, far_apart())

    assert choice.loop == replace(recipe.inner_loop, steps=0)
    assert (choice.taken.steps, choice.taken.gain) == (0, 0.0)


def test_of_learned_step_sizes_only_the_learned_ones_are_tried() -> None:
    recipe = short_sinusoid()
    recipe = replace(recipe, inner_loop=replace(recipe.inner_loop, learned=True))
    learner = build_learner(recipe)
    meta = start(recipe, learner).best

    choice = choose_loop(recipe, learner, meta, Sinusoids())

    assert [one.steps for one in choice.tried] == [0, 10]
