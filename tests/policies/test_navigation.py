"""2D navigation learns to be adapted: the recipe, cut short, on goals that it never saw."""

from dataclasses import replace

import pytest

from models.environments.opening import open_environment
from models.meta_training.policies import (
    TEST_SEED,
    build_policy,
    rounds_of,
    start_policy,
    train_policy,
)
from models.meta_training.policy_recipes import read_policy_recipe


@pytest.mark.slow
def test_twenty_outer_steps_are_enough_for_rounds_that_help() -> None:
    recipe = replace(read_policy_recipe("point-navigation"), iterations=20, tasks=20)
    environment = open_environment(recipe.environment)
    policy = build_policy(recipe, environment)
    state = start_policy(recipe, policy, environment)

    for _ in train_policy(recipe, policy, environment, state):
        pass

    found = rounds_of(recipe, policy, environment, state.theta, tasks=40, seed=TEST_SEED).mean(
        dim=1
    )
    assert float(found[1]) >= -14, found
    assert float(found[3]) >= -9, found
