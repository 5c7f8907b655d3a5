"""Meta-training: the outer loop over a recipe's stages, resumable to the same bits on a CPU.

The episodes of an outer step depend on the seed and the step's number alone, so a state is θ, the
optimiser's moments and a number. This file knows no clock, no console and no folder layout.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.engine.layers import episodes_at_once
from models.episodes import Episodes, TaskDistribution
from models.heads.layer import BIAS, WEIGHT, initial_head
from models.learner import CLOSED_FORMS, InnerLoop, Learner
from models.measuring.evaluation import evaluate, trained_protocol
from models.meta_training.bayesian import bayesian_step, start_prior
from models.meta_training.calibration import calibrate
from models.meta_training.prototypes import prototype_step
from models.meta_training.recipes import Recipe, Stage
from models.networks import build_network, shape_of_features
from models.normalisation import Params, Prior
from models.outer_loop import (
    LAST_ALONE,
    MetaParams,
    NotFinite,
    OuterResult,
    multi_step_weights,
    outer_step,
)

VALIDATION_SEED = 1_000_003
LINALG_ERROR: type[RuntimeError] = vars(torch.linalg)["LinAlgError"]  # exported to no checker
CALIBRATED_EVERY = 100  # outer steps; θ moves little in so many


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """Where a run stands: outer steps done, what it learned so far, and the best of all its stages
    by validation. prior and best_prior: where the recipe asks for one.
    """

    iteration: int
    meta: MetaParams
    optimiser: torch.optim.Adam
    best: MetaParams
    best_score: float
    best_iteration: int = 0
    prior: Prior | None = None
    best_prior: Prior | None = None

    @property
    def device(self) -> torch.device:
        return self.meta.tensors()[0].device


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


def start(
    recipe: Recipe, learner: Learner, warm: Params | None = None, device: str = "cpu"
) -> TrainingState:
    """The state before the first outer step; ``warm``: the θ of the checkpoint it starts from, of
    which a head of other classes is left out.
    """
    theta = _initial_theta(recipe, learner)
    fitting = {n: t for n, t in (warm or {}).items() if n in theta and t.shape == theta[n].shape}
    theta = {name: tensor.to(device) for name, tensor in (theta | fitting).items()}
    sizes = {name: tensor.to(device) for name, tensor in _initial_sizes(recipe, theta).items()}
    return state_of(0, MetaParams(theta=theta, step_sizes=sizes))


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
    """Runs the outer steps that are left, changing ``state``; yields after every one of them.

    Raises NotFinite at the first of them whose loss, meta-gradient or validation is not finite.
    """
    while state.iteration < recipe.iterations:
        with _told_where(f"outer step {state.iteration + 1}"):
            stage, within = recipe.stage_at(state.iteration)
            result = _one_step(recipe, stage, within, learner, distribution, state)
        state.iteration += 1
        validation = None
        if state.iteration % recipe.validation.every == 0 or state.iteration == recipe.iterations:
            with _told_where(f"validation after outer step {state.iteration}"):
                validation = validate(recipe, learner, distribution, state)
        yield Progress(iteration=state.iteration, result=result, validation=validation)


@contextmanager
def _told_where(place: str) -> Iterator[None]:
    """Raises NotFinite anew with its place; a matrix that cannot be solved with is one, too."""
    try:
        yield
    except (NotFinite, LINALG_ERROR) as fault:
        why = fault if isinstance(fault, NotFinite) else "features are not finite, or all alike"
        raise NotFinite(
            f"{place}: {why}; look for numbers in the data that are far larger than all others, or "
            "lower learning_rate. No checkpoint was written"
        ) from fault


def validate(
    recipe: Recipe, learner: Learner, distribution: TaskDistribution, state: TrainingState
) -> float:
    """The score on validation episodes; the best of a run is kept in ``state``.

    Raises NotFinite where it, or θ, is no finite number.
    """
    if not all(bool(tensor.isfinite().all()) for tensor in state.meta.tensors()):
        raise NotFinite("θ is not finite")
    prior = _calibrated(recipe, learner, distribution, state)
    measured = evaluate(
        replace(learner, prior=prior),
        snapshot(state.meta),
        served_loop(recipe),
        distribution,
        split="validation",
        shape=recipe.validation.shape,
        episodes=recipe.validation.episodes,
        seed=VALIDATION_SEED,
        protocol=trained_protocol(learner),
    ).mean
    if not math.isfinite(measured):
        raise NotFinite("the score is not finite")
    score = learner.kind.merit(measured)
    if score >= state.best_score:
        state.best, state.best_score = snapshot(state.meta), score
        state.best_iteration, state.best_prior = state.iteration, prior
    return measured


def at_once(learner: Learner, episodes: Episodes) -> int:
    """How many episodes the device does best at once, as far as its memory is concerned."""
    support, query = episodes.support_x.shape[1:], episodes.query_x.shape[1:]
    if episodes.support_x.is_cuda:
        return len(episodes)
    return episodes_at_once(learner.network, (support[0] + query[0], *support[1:]))


def served_loop(recipe: Recipe) -> InnerLoop:
    """The inner loop as the service will run it by default, without what is learned of it."""
    loop = recipe.inner_loop
    steps = 1 if loop.adapts in CLOSED_FORMS else loop.steps
    return InnerLoop(steps=steps, step_size=loop.step_size, adapts=loop.adapts, guarded=True)


def _trained_loop(recipe: Recipe, stage: Stage) -> InnerLoop:
    """The inner loop that the outer one differentiates through: unless the stage is guarded every
    step is taken.
    """
    return replace(
        served_loop(recipe),
        steps=stage.inner_steps,
        first_order=stage.first_order,
        adapts=stage.adapts or recipe.inner_loop.adapts,
        guarded=stage.guarded,
    )


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
    shape = stage.shape(generator)
    episodes = distribution.draw("train", stage.episodes, shape, generator, augment=True)
    episodes = episodes.to(state.device)
    for group in state.optimiser.param_groups:
        group["lr"] = cosine(stage, within)
    head = replace(learner.head, scale=stage.head_scale or learner.head.scale)
    learner = replace(learner, head=head)
    if stage.algorithm == "prototypes":
        return prototype_step(learner, state.meta, episodes, state.optimiser)
    if stage.algorithm == "bayesian":
        if state.iteration == 0:
            start_prior(learner, state.meta, distribution, stage.largest, generator)
        return bayesian_step(learner, state.meta, episodes, state.optimiser)
    if within == 0 or state.iteration % CALIBRATED_EVERY == 0:
        state.prior = _calibrated(recipe, learner, distribution, state)
    return outer_step(
        replace(learner, prior=state.prior),
        state.meta,
        episodes,
        _trained_loop(recipe, stage),
        state.optimiser,
        chunk=min(stage.chunk, at_once(learner, episodes)),
        weights=_weights(stage, within),
        clip=stage.clip,
    )


def _weights(stage: Stage, within: int) -> tuple[float, ...]:
    if not stage.multi_step_loss:
        return LAST_ALONE
    return multi_step_weights(stage.inner_steps, min(within / stage.multi_step_loss, 1.0))


def _calibrated(
    recipe: Recipe, learner: Learner, distribution: TaskDistribution, state: TrainingState
) -> Prior | None:
    examples, shape = recipe.inner_loop.prior_examples, recipe.validation.shape
    if not examples:
        return None
    return calibrate(learner, state.meta.theta, distribution, shape, examples=examples)


def cosine(stage: Stage, within: int) -> float:
    """The learning rate of a stage's step: a half cosine from the first to the final value."""
    share = (1 + math.cos(math.pi * within / stage.iterations)) / 2
    return stage.final_learning_rate + share * (stage.learning_rate - stage.final_learning_rate)


def _initial_theta(recipe: Recipe, learner: Learner) -> Params:
    generator = torch.Generator().manual_seed(recipe.seed)
    features, _ = shape_of_features(learner.network, recipe.input_shape)
    body = {name: value.detach().clone() for name, value in learner.network.named_parameters()}
    head = initial_head(recipe.head, features, generator)
    deviations = recipe.initialisation
    if deviations.body is not None:
        body = {name: _drawn(value, deviations.body, generator) for name, value in body.items()}
    if deviations.head is not None and head:
        deviation = deviations.head
        head[WEIGHT] = torch.randn(head[WEIGHT].shape, generator=generator) * deviation
    return body | head


def _drawn(like: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """A weight from a normal cut at two deviations, as TensorFlow draws it; a bias is 0."""
    drawn = torch.zeros_like(like)
    if drawn.dim() < 2:
        return drawn
    cut = 2 * deviation
    return torch.nn.init.trunc_normal_(drawn, 0.0, deviation, -cut, cut, generator=generator)


def _initial_sizes(recipe: Recipe, theta: Params) -> Params:
    loop = recipe.inner_loop
    if not loop.learned:
        return {}
    names = sorted({*theta, WEIGHT, BIAS})
    if loop.granularity == "layer":
        return {name: torch.full((loop.steps,), loop.step_size) for name in names}
    like = {name: theta[name].shape if name in theta else torch.Size() for name in names}
    return {name: torch.full((1, *like[name]), loop.step_size) for name in names}


def _leaves(tree: Params) -> Params:
    return {name: _leaf(tree[name]) for name in sorted(tree)}


def _leaf(tensor: Tensor) -> Tensor:
    """Convolutions keep their weights channels last: half the time on a CPU."""
    images = tensor.dim() == 4
    layout = torch.channels_last if images else torch.contiguous_format
    return tensor.detach().clone(memory_format=layout).requires_grad_()


def _copies(tree: Params) -> Params:
    return {name: value.detach().clone() for name, value in tree.items()}
