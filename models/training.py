"""Meta-training: the outer loop over a recipe's stages, resumable to the same bits on a CPU.

The episodes of an outer step depend on the seed and the step's number alone, so a state is θ, the
optimiser's moments and a number. This file knows no clock, no console and no folder layout.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from models.episodes import TaskDistribution
from models.evaluation import evaluate
from models.heads import initial_head
from models.inner_loop import InnerLoop, Learner
from models.networks import build_network, feature_count
from models.normalisation import Params
from models.outer_loop import MetaParams, OuterResult, outer_step
from models.recipes import Recipe, Stage

VALIDATION_SEED = 1_000_003


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """Where a run stands: outer steps done, what it learned so far, and the best of it by
    validation.
    """

    iteration: int
    meta: MetaParams
    optimiser: torch.optim.Adam
    best: MetaParams
    best_score: float
    best_iteration: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One outer step's result; ``validation`` where it was measured."""

    iteration: int
    result: OuterResult
    validation: float | None = None


def build_learner(recipe: Recipe) -> Learner:
    """The recipe's learner with a network drawn from its seed."""
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        network = build_network(recipe.network, recipe.network_config)
    return Learner(
        network=network,
        head=recipe.head,
        task=recipe.task,
        normalisation=recipe.inner_loop.normalisation,
    )


def start(recipe: Recipe, learner: Learner) -> TrainingState:
    """The state before the first outer step."""
    generator = torch.Generator().manual_seed(recipe.seed)
    features = feature_count(learner.network, recipe.input_shape)
    body = {name: value.detach().clone() for name, value in learner.network.named_parameters()}
    theta = body | initial_head(recipe.head, features, generator)
    return state_of(0, MetaParams(theta=theta, step_sizes=_initial_sizes(recipe, theta)))


def state_of(iteration: int, meta: MetaParams) -> TrainingState:
    """A state at these meta-parameters with a fresh optimiser."""
    leaves = MetaParams(theta=_leaves(meta.theta), step_sizes=_leaves(meta.step_sizes))
    optimiser = torch.optim.Adam(leaves.tensors(), lr=1e-3)
    return TrainingState(
        iteration=iteration,
        meta=leaves,
        optimiser=optimiser,
        best=snapshot(leaves),
        best_score=-math.inf,
    )


def train(
    recipe: Recipe, learner: Learner, distribution: TaskDistribution, state: TrainingState
) -> Iterator[Progress]:
    """Runs the outer steps that are left, changing ``state``; yields after every one of them."""
    while state.iteration < recipe.iterations:
        stage, within = recipe.stage_at(state.iteration)
        result = _one_step(recipe, stage, within, learner, distribution, state)
        state.iteration += 1
        validation = None
        if state.iteration % recipe.validation.every == 0 or state.iteration == recipe.iterations:
            validation = _validate(recipe, learner, distribution, state)
        yield Progress(iteration=state.iteration, result=result, validation=validation)


def served_loop(recipe: Recipe) -> InnerLoop:
    """The inner loop as the service will run it by default."""
    return InnerLoop(steps=recipe.inner_loop.steps, step_size=recipe.inner_loop.step_size)


def snapshot(meta: MetaParams) -> MetaParams:
    """A detached copy."""
    return MetaParams(theta=_copies(meta.theta), step_sizes=_copies(meta.step_sizes))


def _one_step(
    recipe: Recipe,
    stage: Stage,
    within: int,
    learner: Learner,
    distribution: TaskDistribution,
    state: TrainingState,
) -> OuterResult:
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_000_007 + state.iteration)
    episodes = distribution.draw("train", stage.episodes, stage.shape, generator)
    for group in state.optimiser.param_groups:
        group["lr"] = cosine(stage, within)
    inner = replace(served_loop(recipe), steps=stage.inner_steps, first_order=stage.first_order)
    learner = replace(
        learner, head=replace(learner.head, scale=stage.head_scale or learner.head.scale)
    )
    return outer_step(learner, state.meta, episodes, inner, state.optimiser, chunk=stage.chunk)


def cosine(stage: Stage, within: int) -> float:
    """The learning rate of a stage's step: a half cosine from the first to the final value."""
    share = (1 + math.cos(math.pi * within / stage.iterations)) / 2
    return stage.final_learning_rate + share * (stage.learning_rate - stage.final_learning_rate)


def _validate(
    recipe: Recipe, learner: Learner, distribution: TaskDistribution, state: TrainingState
) -> float:
    measured = evaluate(
        learner,
        snapshot(state.meta),
        served_loop(recipe),
        distribution,
        split="validation",
        shape=recipe.validation.shape,
        episodes=recipe.validation.episodes,
        seed=VALIDATION_SEED,
    ).mean
    score = measured if recipe.task == "classification" else -measured
    if score >= state.best_score:
        state.best, state.best_score = snapshot(state.meta), score
        state.best_iteration = state.iteration
    return measured


def _initial_sizes(recipe: Recipe, theta: Params) -> Params:
    if not recipe.inner_loop.learned:
        return {}
    names = {*theta, "head.weight", "head.bias"}
    size = torch.full((recipe.inner_loop.steps,), recipe.inner_loop.step_size)
    return {name: size.clone() for name in sorted(names)}


def _leaves(tree: Params) -> Params:
    return {name: tree[name].detach().clone().requires_grad_() for name in sorted(tree)}


def _copies(tree: Params) -> Params:
    return {name: value.detach().clone() for name, value in tree.items()}
