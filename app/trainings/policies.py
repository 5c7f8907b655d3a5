"""A policy's recipe becomes a checkpoint; stopped at any moment it goes on where it was.

The same promises as ``running``, of which the order and the folder are.
"""

import json
import platform
import shlex
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.checkpoints.registry import check_name
from app.trainings.order import Say, TrainingOrder
from app.trainings.records import recording
from app.trainings.runs import keep_log_until, log_of, state_file
from app.values.progress import Progress, Reached, Stopped

if TYPE_CHECKING:
    from models.environments.protocol import Environment
    from models.meta_training.policies import PolicyState, PolicyStep
    from models.meta_training.policy_recipes import PolicyRecipe
    from models.policies.policy import Policy

SAVED_EVERY_S: Final = 30.0
TEST_TASKS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRun:
    """A run in memory; training changes its ``state``."""

    recipe: "PolicyRecipe"
    environment: "Environment"
    policy: "Policy"
    state: "PolicyState"
    folder: Path


def run_policy_training(order: TrainingOrder, *, progress: Progress, say: Say) -> Path | None:
    """Runs what is left of a policy's recipe, or as much as the order allows; the checkpoint's file
    once it is done. Raises like ``run_training``.
    """
    import torch

    torch.set_num_threads(order.threads or torch.get_num_threads())
    run = _open_run(order)
    if run.state.iteration:
        say(f"goes on after outer step {run.state.iteration} of {run.recipe.iterations}")
    try:
        _train(run, order, progress)
    except Stopped:
        say(f"stopped after outer step {run.state.iteration}; the same command goes on")
        raise
    if run.state.iteration < run.recipe.iterations:
        say(f"stopped after outer step {run.state.iteration}; the same command goes on")
        if not order.unfinished:
            return None
    said = [order.recipe] if order.name is None else [order.recipe, "--name", order.name]
    return _publish(run, said, progress, say)


def _open_run(order: TrainingOrder) -> PolicyRun:
    from models.environments.opening import open_environment
    from models.meta_training.policies import build_policy, load_policy_state, start_policy
    from models.meta_training.policy_recipes import read_policy_recipe

    is_file = order.recipe.endswith(".toml")
    recipe = read_policy_recipe(Path(order.recipe) if is_file else order.recipe)
    recipe = recipe if order.name is None else replace(recipe, name=order.name)
    check_name(recipe.name)
    folder = order.folder or Path("runs") / (order.name or recipe.name)
    folder.mkdir(parents=True, exist_ok=True)
    environment = open_environment(recipe.environment)
    policy = build_policy(recipe, environment)
    saved = state_file(folder)
    if saved.is_file():
        state = load_policy_state(recipe, saved.read_bytes())
    else:
        state = start_policy(recipe, policy, environment)
    keep_log_until(log_of(folder), state.iteration)
    return PolicyRun(
        recipe=recipe, environment=environment, policy=policy, state=state, folder=folder
    )


def _train(run: PolicyRun, order: TrainingOrder, progress: Progress) -> None:
    saved_at = time.monotonic()
    validation: tuple[float, ...] | None = None
    try:
        with recording(run.folder) as keep:
            progress.moved(_reached(run, None, validation))
            for step, took_s in _steps(run, order):
                about = {"loss": None, "score": step.after, "seconds": round(took_s, 4)}
                keep(asdict(step) | about)
                if time.monotonic() - saved_at > SAVED_EVERY_S:
                    _save(run)
                    saved_at = time.monotonic()
                validation = step.validation or validation
                progress.moved(_reached(run, step, validation))
    finally:
        _save(run)


def _steps(run: PolicyRun, order: TrainingOrder) -> Iterator[tuple["PolicyStep", float]]:
    from models.meta_training.policies import train_policy

    last = min(
        run.recipe.iterations, run.state.iteration + (order.stop_after or run.recipe.iterations)
    )
    steps = train_policy(run.recipe, run.policy, run.environment, run.state)
    started = time.monotonic()
    while run.state.iteration < last:
        before = time.monotonic()
        if order.seconds and before - started > order.seconds:
            return
        step = next(steps)
        yield step, time.monotonic() - before


def _save(run: PolicyRun) -> None:
    from models.meta_training.policies import dump_policy_state

    partial = run.folder / "state.partial"
    partial.write_bytes(dump_policy_state(run.recipe, run.state))
    partial.replace(state_file(run.folder))


def _reached(
    run: PolicyRun, step: "PolicyStep | None", validation: tuple[float, ...] | None
) -> Reached:
    parts = []
    if step is not None:
        parts.append(f"returns {step.before:.1f}, adapted {step.after:.1f}")
    if validation is not None:
        rounds = " ".join(f"{value:.1f}" for value in validation)
        parts.append(f"validation by round {rounds} (best at {run.state.best_iteration})")
    return Reached(
        activity="training",
        subject=run.recipe.name,
        done=run.state.iteration,
        total=run.recipe.iterations,
        detail=", ".join(parts),
    )


def _publish(run: PolicyRun, said: list[str], progress: Progress, say: Say) -> Path:
    """Writes the best θ by validation, with its returns in tasks that no outer step had."""
    from models.files.checkpoint import dump_checkpoint
    from models.meta_training.policies import TEST_SEED, policy_checkpoint, rounds_of

    progress.moved(
        Reached(activity="testing", subject=f"{TEST_TASKS} tasks", done=0, total=TEST_TASKS)
    )
    found = rounds_of(
        run.recipe,
        run.policy,
        run.environment,
        run.state.best,
        tasks=TEST_TASKS,
        seed=TEST_SEED,
    )
    made = policy_checkpoint(
        run.recipe, run.policy, run.environment, run.state, found, _provenance(run, said)
    )
    target = run.folder / f"{run.recipe.name}.safetensors"
    target.write_bytes(dump_checkpoint(made))
    for number, measured in enumerate(made.evaluation):
        say(
            f"mean return after {number} rounds: {measured['mean']:.2f} ± {measured['ci95']:.2f}"
            f" over {TEST_TASKS} tasks"
        )
    return target


def _provenance(run: PolicyRun, said: list[str]) -> dict[str, Any]:
    import torch

    threads = torch.get_num_threads()
    return {
        "command": shlex.join(["fewstep", "train", *said]),
        "recipe": json.loads(json.dumps(asdict(run.recipe))),
        "seed": run.recipe.seed,
        "iterations": run.state.iteration,
        "planned": run.recipe.iterations,
        "start": None,
        "best_iteration": run.state.best_iteration,
        "data": {"name": run.environment.name},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "hardware": f"{platform.machine()} CPU, {threads} thread{'s' if threads > 1 else ''}",
    }
