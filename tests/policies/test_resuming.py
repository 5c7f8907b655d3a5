"""A training that was ended and resumed gives the bits of one that never was."""

import pytest
import torch

from models.environments.opening import open_environment
from models.meta_training.policies import (
    PolicyStep,
    build_policy,
    dump_policy_state,
    load_policy_state,
    start_policy,
    train_policy,
)
from models.meta_training.policy_recipes import Algorithm, Outer, PolicyRecipe, PolicyValidation

ITERATIONS = 4


def a_recipe(outer: Outer, algorithm: Algorithm = "maml", iterations: int = 4) -> PolicyRecipe:
    return PolicyRecipe(
        name="small",
        seed=3,
        environment={"name": "point-navigation", "max_episode_steps": 10},
        network="mlp",
        network_config={"hidden": [8], "normalised": False},
        step_sizes=(0.1, 0.05),
        iterations=iterations,
        tasks=3,
        episodes=4,
        gamma=0.99,
        gae_lambda=1.0,
        validation=PolicyValidation(every=2, tasks=3),
        algorithm=algorithm,
        outer=outer,
    )


def run(recipe: PolicyRecipe, saved: bytes | None, most: int) -> tuple[list[PolicyStep], bytes]:
    """At most so many outer steps, from what was saved, and what is to save then."""
    environment = open_environment(recipe.environment)
    policy = build_policy(recipe, environment)
    if saved is None:
        state = start_policy(recipe, policy, environment)
    else:
        state = load_policy_state(recipe, saved)
    steps = list[PolicyStep]()
    for done in train_policy(recipe, policy, environment, state):
        steps.append(done)
        if len(steps) == most:
            break
    return steps, dump_policy_state(recipe, state)


@pytest.mark.parametrize("outer", ["trpo", "promp"])
@pytest.mark.parametrize("algorithm", ["maml", "pretrain"])
def test_resumed_after_any_step_it_ends_with_the_same_bits(
    outer: Outer, algorithm: Algorithm
) -> None:
    recipe = a_recipe(outer, algorithm)
    whole, expected = run(recipe, None, ITERATIONS)

    for ended in range(1, ITERATIONS):
        first, saved = run(recipe, None, ended)
        torch.manual_seed(ended)  # the noise of anybody else
        rest, found = run(recipe, saved, ITERATIONS)
        assert [*first, *rest] == whole
        assert found == expected


@pytest.mark.parametrize("outer", ["trpo", "promp"])
def test_a_state_before_the_first_step_comes_back_as_it_was(outer: Outer) -> None:
    recipe = a_recipe(outer)
    environment = open_environment(recipe.environment)
    state = start_policy(recipe, build_policy(recipe, environment), environment)

    saved = dump_policy_state(recipe, state)

    assert dump_policy_state(recipe, load_policy_state(recipe, saved)) == saved
    assert run(recipe, saved, ITERATIONS) == run(recipe, None, ITERATIONS)


def test_a_longer_run_goes_on_and_another_recipe_is_refused() -> None:
    _, saved = run(a_recipe("trpo"), None, 2)

    longer, _ = run(a_recipe("trpo", iterations=5), saved, 9)

    assert [done.iteration for done in longer] == [3, 4, 5]
    with pytest.raises(ValueError, match="another recipe"):
        load_policy_state(a_recipe("promp"), saved)


def test_the_best_of_the_validated_is_kept() -> None:
    recipe = a_recipe("trpo")
    steps, saved = run(recipe, None, ITERATIONS)
    scores = {
        done.iteration: sum(done.validation[1:]) / 2
        for done in steps
        if done.validation is not None
    }

    state = load_policy_state(recipe, saved)

    assert set(scores) == {2, 4}
    assert state.best_iteration == max(scores, key=lambda number: scores[number])
    assert state.best_score == pytest.approx(max(scores.values()), rel=1e-5)
