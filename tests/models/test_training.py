"""Training: resumed to the same bits; the shipped recipes and checkpoints are what they say."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.episodes import EpisodeShape, TaskDistribution, labelled
from models.files.checkpoint import Checkpoint, load_checkpoint
from models.inner_loop import adapt_episodes
from models.learner import InnerLoop
from models.measuring.evaluation import evaluate
from models.meta_training.recipes import Recipe, read_recipe
from models.meta_training.training import (
    VALIDATION_SEED,
    TrainingState,
    build_learner,
    cosine,
    start,
    train,
    validate,
)
from models.meta_training.training_state import dump_state, load_state
from models.tasks.omniglot import SPLIT_FILE
from models.tasks.opening import open_distribution
from models.tasks.sinusoid import Sinusoids

CHECKPOINTS = Path(__file__).parents[2] / "models" / "checkpoints"


def short_recipe() -> Recipe:
    whole = read_recipe("sinusoid")
    stage = replace(whole.stages[0], iterations=10, episodes=4)
    validation = replace(whole.validation, every=5, episodes=10)
    return replace(whole, stages=(stage, replace(stage, iterations=6)), validation=validation)


def run(recipe: Recipe, state: TrainingState, until: int) -> TrainingState:
    learner = build_learner(recipe)
    for step in train(recipe, learner, Sinusoids(), state):
        if step.iteration == until:
            break
    return state


@pytest.mark.parametrize("broken_at", [3, 10, 13])
def test_a_broken_run_resumes_to_the_same_bytes(broken_at: int) -> None:
    recipe = short_recipe()
    unbroken = run(recipe, start(recipe, build_learner(recipe)), recipe.iterations)

    part = run(recipe, start(recipe, build_learner(recipe)), broken_at)
    resumed = run(recipe, load_state(recipe, dump_state(recipe, part)), recipe.iterations)

    assert dump_state(recipe, resumed) == dump_state(recipe, unbroken)


def test_a_state_of_another_recipe_is_refused() -> None:
    recipe = short_recipe()
    saved = dump_state(recipe, run(recipe, start(recipe, build_learner(recipe)), 3))

    with pytest.raises(ValueError, match="another recipe"):
        load_state(replace(recipe, seed=2), saved)


def test_training_lowers_the_loss() -> None:
    recipe = replace(
        short_recipe(), stages=(replace(read_recipe("sinusoid").stages[0], iterations=150),)
    )
    learner = build_learner(recipe)

    losses = [p.result.loss for p in train(recipe, learner, Sinusoids(), start(recipe, learner))]

    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])


def test_the_learning_rate_falls_by_half_a_cosine() -> None:
    stage = replace(
        read_recipe("sinusoid").stages[0],
        iterations=100,
        learning_rate=1.0,
        final_learning_rate=0.2,
    )

    assert [cosine(stage, i) for i in (0, 50, 100)] == pytest.approx([1.0, 0.6, 0.2])


def test_the_shipped_sinusoid_reaches_its_number() -> None:
    checkpoint = load_checkpoint((CHECKPOINTS / "sinusoid.safetensors").read_bytes())

    measured = evaluate(
        checkpoint.learner,
        checkpoint.meta,
        checkpoint.recipe,
        Sinusoids(),
        split="test",
        shape=EpisodeShape(way=1, shot=5, query=50),
        episodes=600,
        seed=1234,
    )

    assert checkpoint.recipe.steps == 10
    assert measured.mean <= 0.45


@pytest.fixture(scope="module")
def omniglot(omniglot_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> TaskDistribution:
    cache = tmp_path_factory.mktemp("cache")
    return open_distribution({"name": "omniglot"}, folder=omniglot_dir, cache=cache)


def shipped(name: str) -> Checkpoint:
    return load_checkpoint((CHECKPOINTS / f"{name}.safetensors").read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "way", "shot", "goal"),
    [
        ("omniglot-5way-1shot", 5, 1, 0.987),
        ("omniglot-5way-5shot", 5, 5, 0.996),
        ("omniglot-20way-1shot", 20, 1, 0.96),
        ("omniglot-20way-5shot", 20, 5, 0.989),
        ("omniglot-anyway", 20, 1, 0.96),
        ("omniglot-anyway", 3, 2, 0.99),
    ],
)
def test_a_shipped_classifier_reaches_its_goal_one_query_at_a_time(
    omniglot: TaskDistribution, name: str, way: int, shot: int, goal: float
) -> None:
    checkpoint = shipped(name)

    measured = evaluate(
        checkpoint.learner,
        checkpoint.meta,
        checkpoint.recipe,
        omniglot,
        split="test",
        shape=EpisodeShape(way=way, shot=shot, query=15),
        episodes=60,
        seed=4321,
    )

    assert measured.protocol == "one by one"
    assert measured.mean + measured.ci95 >= goal


@pytest.mark.parametrize(
    ("name", "way", "shot", "episodes"),
    [
        ("omniglot-5way-1shot", 5, 1, 400),
        ("omniglot-5way-5shot", 5, 5, 60),
        ("omniglot-20way-1shot", 20, 1, 60),
        ("omniglot-20way-5shot", 20, 5, 15),
        ("omniglot-anyway", 2, 1, 100),
        ("omniglot-anyway", 7, 10, 15),
    ],
)
def test_gradient_steps_lower_the_support_loss(
    omniglot: TaskDistribution, name: str, way: int, shot: int, episodes: int
) -> None:
    checkpoint = shipped(name)
    shape, generator = EpisodeShape(way=way, shot=shot, query=1), torch.Generator().manual_seed(11)
    drawn = omniglot.draw("test", episodes, shape, generator)

    learner, theta, recipe = checkpoint.learner, checkpoint.meta.theta, checkpoint.recipe_of("all")
    with torch.no_grad():
        parts = [
            adapt_episodes(learner, theta, labelled(x, y), recipe, outputs=way).losses
            for x, y in zip(drawn.support_x.split(8), drawn.support_y.split(8), strict=True)
        ]
    losses = torch.cat(parts)

    # below 1e-4 float32 cannot tell the scores, which are in the hundreds, any better
    fell, nothing_left = losses[:, -1] < losses[:, 0], losses[:, 0] < 1e-4
    assert bool((fell | nothing_left).all())
    assert bool((losses[:, -1] <= losses[:, 0]).all())


def test_the_shipped_omniglots_list_the_characters_they_never_saw() -> None:
    for path in CHECKPOINTS.glob("omniglot-*.safetensors"):
        listed = load_checkpoint(path.read_bytes()).provenance["data"]["test_classes"]

        assert listed == json.loads(SPLIT_FILE.read_text())["test"]
        assert "/character" in listed[0]


def test_a_run_starts_from_the_theta_that_its_recipe_names() -> None:
    recipe = read_recipe("paper/omniglot-5way-1shot")  # the same body, another head
    theta = shipped("omniglot-anyway").meta.theta

    warm = start(recipe, build_learner(recipe), theta).meta.theta

    assert read_recipe("omniglot-5way-1shot").start == "omniglot-anyway"
    assert torch.equal(warm["blocks.3.conv.weight"], theta["blocks.3.conv.weight"])
    assert warm["head.weight"].shape == (5, 64)


def test_a_later_stage_that_is_worse_does_not_replace_the_best_of_an_earlier_one() -> None:
    recipe = short_recipe()
    harmful = replace(recipe.stages[1], learning_rate=0.1, final_learning_rate=0.1)
    recipe = replace(recipe, stages=(recipe.stages[0], harmful))
    learner = build_learner(recipe)
    state = start(recipe, learner)

    steps = list(train(recipe, learner, Sinusoids(), state))

    judged = {step.iteration: step.validation for step in steps if step.validation is not None}
    lowest = min(judged, key=judged.__getitem__)
    assert judged[16] > judged[10]
    assert lowest <= 10
    assert (state.best_iteration, state.best_score) == (lowest, -judged[lowest])
    assert validate(recipe, learner, Sinusoids(), replace(state, meta=state.best)) == judged[lowest]


def test_validation_takes_no_step_that_the_service_would_not_take() -> None:
    recipe = short_recipe()
    recipe = replace(recipe, inner_loop=replace(recipe.inner_loop, step_size=50.0))  # diverges
    learner = build_learner(recipe)
    state = start(recipe, learner)

    score = validate(recipe, learner, Sinusoids(), state)

    assert (
        score
        == evaluate(
            learner,
            state.best,
            InnerLoop(steps=recipe.inner_loop.steps, step_size=50.0, guarded=True),
            Sinusoids(),
            split="validation",
            shape=recipe.validation.shape,
            episodes=recipe.validation.episodes,
            seed=VALIDATION_SEED,
        ).mean
    )
    assert score < 10


@pytest.mark.parametrize("name", ["omniglot-5way-5shot-no-convolution"])
def test_a_state_that_was_kept_before_still_loads_with_its_best(name: str) -> None:
    saved = (CHECKPOINTS / "paper" / "unfinished" / f"{name}.state").read_bytes()

    state = load_state(read_recipe(f"paper/{name}"), saved)

    assert 0 < state.best_iteration <= state.iteration < 60_000
    assert 0.9 < state.best_score < 1


def test_evaluation_reruns_to_the_same_value() -> None:
    recipe = short_recipe()
    learner = build_learner(recipe)
    meta = start(recipe, learner).best
    shape = EpisodeShape(way=1, shot=5, query=5)

    def once() -> float:
        return evaluate(
            learner,
            meta,
            load_checkpoint((CHECKPOINTS / "sinusoid.safetensors").read_bytes()).recipe,
            Sinusoids(),
            split="test",
            shape=shape,
            episodes=30,
            seed=9,
        ).mean

    assert once() == once()
    assert torch.is_tensor(meta.theta["head.bias"])
