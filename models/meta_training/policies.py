"""Meta-training of a policy (Finn et al. 2017, Algorithm 3), resumable to the same bits on a CPU.

An outer step's tasks and noise depend on the seed and the step's number alone, so a state is θ, the
moments of an optimiser where there is one, and a number.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from models.environments.protocol import Environment
from models.files.acting import Acting
from models.files.checkpoint import Checkpoint
from models.files.served_loop import ServedInnerLoop
from models.heads.layer import Head
from models.learner import Learner
from models.meta_training.policy_recipes import TASK, PolicyRecipe
from models.networks import build_network
from models.normalisation import Params
from models.outer_loop import MetaParams
from models.policies.advantages import advantages
from models.policies.evaluating import returns_by_round
from models.policies.inner_step import leaves_of, step
from models.policies.policy import Policy, initial_policy
from models.policies.promp import promp_step
from models.policies.sampling import collect
from models.policies.trpo import Played, stacked, trpo_step

VALIDATION_SEED, TEST_SEED = 1_000_003, 600
MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(slots=True, kw_only=True)
class PolicyState:
    """Where a run stands. optimiser: of an outer step that has one."""

    iteration: int
    theta: Params
    best: Params
    best_score: float = -math.inf
    best_iteration: int = 0
    optimiser: torch.optim.Adam | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStep:
    """One outer step: mean returns under θ and under the adapted policies, how far those moved, and
    the validation tasks' returns by round where they were measured.
    """

    iteration: int
    before: float
    after: float
    kl: float
    validation: tuple[float, ...] | None = None


def build_policy(recipe: PolicyRecipe, environment: Environment) -> Policy:
    """The recipe's policy for this environment."""
    sizes = {"inputs": environment.observation_size}
    network = build_network(recipe.network, recipe.network_config | sizes)
    return Policy(network=network.requires_grad_(False), actions=environment.action_size)


def start_policy(recipe: PolicyRecipe, policy: Policy, environment: Environment) -> PolicyState:
    """The state before the first outer step."""
    generator = torch.Generator().manual_seed(recipe.seed)
    theta = initial_policy(policy, environment.observation_size, generator)
    return _state(recipe, 0, theta)


def train_policy(
    recipe: PolicyRecipe, policy: Policy, environment: Environment, state: PolicyState
) -> Iterator[PolicyStep]:
    """Runs the outer steps that are left, changing ``state``; yields after every one of them.

    Raises ValueError where θ is no longer finite.
    """
    while state.iteration < recipe.iterations:
        done = _outer_step(recipe, policy, environment, state)
        if not all(bool(tensor.isfinite().all()) for tensor in state.theta.values()):
            raise ValueError(f"outer step {state.iteration + 1}: θ is not finite; lower step_sizes")
        state.iteration += 1
        validation = None
        if state.iteration % recipe.validation.every == 0 or state.iteration == recipe.iterations:
            validation = validate_policy(recipe, policy, environment, state)
        yield PolicyStep(iteration=state.iteration, validation=validation, **done)


def validate_policy(
    recipe: PolicyRecipe, policy: Policy, environment: Environment, state: PolicyState
) -> tuple[float, ...]:
    """The validation tasks' mean returns by round; the best θ so far is kept in ``state``."""
    found = rounds_of(
        recipe,
        policy,
        environment,
        state.theta,
        tasks=recipe.validation.tasks,
        seed=VALIDATION_SEED,
    ).mean(dim=1)
    score = float(found[1:].mean() if recipe.algorithm == "maml" else found[0])
    if score >= state.best_score:
        state.best = {name: value.clone() for name, value in detached(state.theta).items()}
        state.best_score, state.best_iteration = score, state.iteration
    return tuple(float(value) for value in found)


def rounds_of(
    recipe: PolicyRecipe,
    policy: Policy,
    environment: Environment,
    theta: Params,
    *,
    tasks: int,
    seed: int,
) -> Tensor:
    """(rounds + 1, tasks) returns in tasks of this seed, which no outer step has."""
    drawn = environment.draw(tasks, np.random.default_rng([recipe.seed, seed]))
    return returns_by_round(
        policy,
        detached(theta),
        environment,
        drawn,
        episodes=recipe.episodes,
        step_sizes=recipe.step_sizes,
        how=recipe.discounting(environment.max_episode_steps),
        seed=[recipe.seed, seed],
    )


def dump_policy_state(recipe: PolicyRecipe, state: PolicyState) -> bytes:
    """The bytes of a state."""
    tensors = {f"now.{name}": value for name, value in detached(state.theta).items()}
    tensors |= {f"best.{name}": value for name, value in state.best.items()}
    if state.optimiser is not None:
        for index, leaf in enumerate(state.theta.values()):
            moments = state.optimiser.state.get(leaf, {})
            tensors |= {f"adam.{index}.{name}": value for name, value in moments.items()}
    about = {
        "recipe": _said(recipe),
        "iteration": state.iteration,
        "best_score": state.best_score if math.isfinite(state.best_score) else None,
        "best_iteration": state.best_iteration,
    }
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    return save_tensors(contiguous, metadata={"state": json.dumps(about)})


def load_policy_state(recipe: PolicyRecipe, saved: bytes) -> PolicyState:
    """The state in these bytes. Raises ValueError where a run of another recipe wrote it."""
    length = int.from_bytes(saved[:8], "little")
    about = json.loads(json.loads(saved[8 : 8 + length])["__metadata__"]["state"])
    if about["recipe"] != _said(recipe):
        raise ValueError("the run began with another recipe; begin anew with --out FOLDER")
    tensors = load_tensors(saved)
    state = _state(recipe, about["iteration"], _under("now.", tensors))
    state.best = _under("best.", tensors)
    score = about["best_score"]
    state.best_score = -math.inf if score is None else score
    state.best_iteration = about["best_iteration"]
    if state.optimiser is not None:
        for index, leaf in enumerate(state.theta.values()):
            if f"adam.{index}.step" in tensors:
                moments = {name: tensors[f"adam.{index}.{name}"] for name in MOMENTS}
                state.optimiser.state[leaf] = moments
    return state


def detached(theta: Params) -> Params:
    return {name: value.detach() for name, value in theta.items()}


def _outer_step(
    recipe: PolicyRecipe, policy: Policy, environment: Environment, state: PolicyState
) -> dict[str, float]:
    seed = [recipe.seed, state.iteration]
    tasks = environment.draw(recipe.tasks, np.random.default_rng(seed))
    how = recipe.discounting(environment.max_episode_steps)
    theta = detached(state.theta)
    start = stacked(theta, recipe.tasks)
    before = collect(policy, start, environment, tasks, recipe.episodes, [*seed, 0])
    values = advantages(before, how).values
    if recipe.algorithm == "pretrain":
        played = Played(before=before, before_values=values, after=before, after_values=values)
        size = 0.0
    else:
        size = recipe.step_sizes[0]
        phi = step(policy, start, before, values, size)
        after = collect(policy, phi, environment, tasks, recipe.episodes, [*seed, 1])
        after_values = advantages(after, how).values
        played = Played(before=before, before_values=values, after=after, after_values=after_values)
    returns = [float(one.returns.mean()) for one in (played.before, played.after)]
    if state.optimiser is not None:
        promp_step(policy, state.theta, played, size, state.optimiser)
        return {"before": returns[0], "after": returns[1], "kl": 0.0}
    moved = trpo_step(policy, theta, played, size)
    state.theta = moved.theta
    return {"before": returns[0], "after": returns[1], "kl": moved.kl}


def _state(recipe: PolicyRecipe, iteration: int, theta: Params) -> PolicyState:
    theta = {name: theta[name] for name in sorted(theta)}  # as in a file, so that sums are the same
    best = {name: value.clone() for name, value in theta.items()}
    if recipe.outer == "trpo":
        return PolicyState(iteration=iteration, theta=theta, best=best)
    leaves = leaves_of(theta)
    optimiser = torch.optim.Adam(leaves.values(), lr=recipe.learning_rate)
    return PolicyState(iteration=iteration, theta=leaves, best=best, optimiser=optimiser)


def _said(recipe: PolicyRecipe) -> Any:
    """The recipe as JSON has it, but for its end, which may still change."""
    return json.loads(json.dumps(asdict(recipe) | {"iterations": 0}))


def _under(prefix: str, tensors: Params) -> Params:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def policy_checkpoint(
    recipe: PolicyRecipe,
    policy: Policy,
    environment: Environment,
    state: PolicyState,
    found: Tensor,
    provenance: dict[str, Any],
) -> Checkpoint:
    """The best θ as a checkpoint; found: (rounds + 1, tasks) its returns in test tasks."""
    config = recipe.network_config | {"inputs": environment.observation_size}
    tasks = found.shape[1]
    return Checkpoint(
        name=recipe.name,
        learner=Learner(
            network=policy.network,
            head=Head(kind="linear", outputs=policy.actions),
            task=TASK,
        ),
        meta=MetaParams(theta=state.best, step_sizes={}),
        network=recipe.network,
        network_config=config,
        input_shape=(environment.observation_size,),
        preprocessing=None,
        max_way=1,
        inner_loop=ServedInnerLoop(steps=1, step_size=recipe.step_sizes[0]),
        provenance=provenance,
        evaluation=[
            {
                "rounds": number,
                "mean": float(returns.mean()),
                "ci95": float(1.96 * returns.std() / tasks**0.5),
                "tasks": tasks,
                "episodes": recipe.episodes,
                "seed": TEST_SEED,
            }
            for number, returns in enumerate(found)
        ],
        acting=Acting(
            actions="discrete" if policy.discrete else "continuous",
            low=environment.low,
            high=environment.high,
            max_episode_steps=environment.max_episode_steps,
            gamma=recipe.gamma,
            gae_lambda=recipe.gae_lambda,
            step_sizes=recipe.step_sizes,
            episodes=recipe.episodes,
            dt=environment.dt,
            environment=environment.in_words,
        ),
    )
