"""Training: resumed to the same bits; the shipped recipes and checkpoints are what they say."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.checkpoint import load_checkpoint
from models.distributions import open_distribution
from models.episodes import EpisodeShape
from models.evaluation import evaluate
from models.inner_loop import adapt_episodes
from models.recipes import Recipe, read_recipe
from models.tasks.omniglot import SPLIT_FILE
from models.tasks.sinusoid import Sinusoids
from models.training import TrainingState, build_learner, cosine, start, train
from models.training_state import dump_state, load_state

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


@pytest.mark.slow
def test_the_shipped_omniglot_reaches_its_number(omniglot_dir: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint((CHECKPOINTS / "omniglot-5way-1shot.safetensors").read_bytes())
    distribution = open_distribution({"name": "omniglot"}, folder=omniglot_dir, cache=tmp_path)

    measured = evaluate(
        checkpoint.learner,
        checkpoint.meta,
        checkpoint.recipe,
        distribution,
        split="test",
        shape=EpisodeShape(way=5, shot=1, query=15),
        episodes=100,
        seed=4321,
    )

    assert measured.protocol == "one by one"
    assert measured.mean >= 0.965


def test_the_shipped_omniglots_steps_lower_the_support_loss(
    omniglot_dir: Path, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint((CHECKPOINTS / "omniglot-5way-1shot.safetensors").read_bytes())
    distribution = open_distribution({"name": "omniglot"}, folder=omniglot_dir, cache=tmp_path)
    shape, generator = EpisodeShape(way=5, shot=1, query=1), torch.Generator().manual_seed(11)
    drawn = distribution.draw("test", 400, shape, generator)

    with torch.no_grad():
        losses = adapt_episodes(
            checkpoint.learner,
            checkpoint.meta.theta,
            drawn.support_x,
            drawn.support_y,
            checkpoint.recipe,
            outputs=5,
            chunk=8,
        ).losses

    assert bool((losses[:, -1] < losses[:, 0]).all())


def test_the_shipped_omniglot_lists_the_characters_it_never_saw() -> None:
    checkpoint = load_checkpoint((CHECKPOINTS / "omniglot-5way-1shot.safetensors").read_bytes())

    listed = checkpoint.provenance["data"]["test_classes"]

    assert listed == json.loads(SPLIT_FILE.read_text())["test"]
    assert "/character" in listed[0]


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
