"""A recipe becomes a checkpoint; stopped at any moment it goes on where it was.

Whoever orders a training, the command line or a worker, hands in what shows its progress and what
says a sentence. A progress that is told to stop ends the training between two outer steps: the
state is saved, ``Stopped`` passes through, and the same order goes on to the same bits.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.checkpoints.registry import check_name
from app.trainings.curves import draw_curve
from app.trainings.data import open_data
from app.trainings.order import Say, TrainingOrder
from app.trainings.policies import run_policy_training
from app.trainings.publishing import publish
from app.trainings.records import read_records, recording
from app.trainings.runs import Run, check_device, data_of, resume_state, save_state
from app.values.progress import Progress, Reached, Stopped

if TYPE_CHECKING:
    from models.episodes import TaskDistribution
    from models.meta_training.recipes import Recipe
    from models.meta_training.training import Progress as OuterStep

SAVED_EVERY = 200  # outer steps
SAVED_EVERY_S = 60.0


def run_training(order: TrainingOrder, *, progress: Progress, say: Say) -> Path | None:
    """Runs what is left of a recipe, or as much as the order allows; the checkpoint's file once it
    is done.

    Raises ValueError and FileNotFoundError with what a person can mend, and Stopped where progress
    was told to stop.
    """
    import torch

    from models.meta_training.policy_recipes import is_policy

    check_device(order.device)
    if is_policy(Path(order.recipe) if order.recipe.endswith(".toml") else order.recipe):
        return run_policy_training(order, progress=progress, say=say)
    torch.set_num_threads(order.threads or torch.get_num_threads())
    run = _open_run(order, progress, say)
    if run.state.iteration:
        say(f"goes on after outer step {run.state.iteration} of {run.recipe.iterations}")
    try:
        return _train_and_publish(run, order, progress, say)
    except Stopped:
        say(_where_it_stopped(run))
        raise


def _where_it_stopped(run: Run) -> str:
    return f"stopped after outer step {run.state.iteration}; the same command goes on"


def _train_and_publish(run: Run, order: TrainingOrder, progress: Progress, say: Say) -> Path | None:
    _train(run, order, progress)
    draw_curve(run.folder)
    if run.state.iteration < run.recipe.iterations:
        say(_where_it_stopped(run))
        if not order.unfinished:
            return None
        run = _judged_out_of_turn(run)
    said = [order.recipe] if order.name is None else [order.recipe, "--name", order.name]
    return publish(run, said=said, progress=progress, say=say)


def _open_run(order: TrainingOrder, progress: Progress, say: Say) -> Run:
    from models.meta_training.training import build_learner

    recipe = _named_recipe(order)
    distribution = open_data(recipe.distribution, order.data, progress)
    recipe = _fitted(recipe, distribution, say)
    folder = order.folder or Path("runs") / _folder_name(order, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    learner = build_learner(recipe)
    return Run(
        recipe=recipe,
        learner=learner,
        distribution=distribution,
        state=resume_state(recipe, learner, folder, order.device, data_of(distribution)),
        folder=folder,
    )


def _named_recipe(order: TrainingOrder) -> "Recipe":
    from models.meta_training.recipes import read_recipe

    is_file = order.recipe.endswith(".toml")
    recipe = read_recipe(Path(order.recipe) if is_file else order.recipe)
    check_name(order.name or recipe.name)
    return recipe if order.name is None else replace(recipe, name=order.name)


def _folder_name(order: TrainingOrder, recipe: "Recipe") -> str:
    shipped = not order.recipe.endswith(".toml")
    return order.name or (order.recipe if shipped else recipe.name)


def _fitted(recipe: "Recipe", distribution: "TaskDistribution", say: Say) -> "Recipe":
    """The recipe as the data can give it; what had to change is said."""
    from models.episodes import Supplying
    from models.meta_training.fitting import fit_recipe

    if not isinstance(distribution, Supplying):
        return recipe
    fitted, changes = fit_recipe(recipe, distribution.supply())
    for change in changes:
        say(change)
    return fitted


def _judged_out_of_turn(run: Run) -> Run:
    """The run validated where it stands, with a state of its own: the run itself must go on as if
    it had not been judged.
    """
    from models.meta_training.training import validate

    judged = replace(run, state=replace(run.state))
    validate(judged.recipe, judged.learner, judged.distribution, judged.state)
    return judged


def _train(run: Run, order: TrainingOrder, progress: Progress) -> None:
    """Takes the order's outer steps and saves the state, also where progress was told to stop."""
    judged = _last_validation(run.folder)
    saved_at = time.monotonic()
    try:
        with recording(run.folder) as keep:
            progress.moved(_reached(run, judged))
            for step, took_s in _steps(run, order):
                keep(_record(step, took_s))
                due = time.monotonic() - saved_at > SAVED_EVERY_S
                if due or step.iteration % SAVED_EVERY == 0:
                    save_state(run)
                    saved_at = time.monotonic()
                judged = judged if step.validation is None else step.validation
                progress.moved(_reached(run, judged, step))
    except Stopped:
        save_state(run)
        raise
    save_state(run)


def _last_validation(folder: Path) -> float | None:
    measured = [record["validation"] for record in read_records(folder)]
    return next((score for score in reversed(measured) if score is not None), None)


def _steps(run: Run, order: TrainingOrder) -> Iterator[tuple["OuterStep", float]]:
    """The outer steps that the order allows, each with its duration in seconds."""
    from models.meta_training.training import train

    state, whole = run.state, run.recipe.iterations
    last = min(whole, state.iteration + (order.stop_after or whole))
    steps = train(run.recipe, run.learner, run.distribution, state)
    started = time.monotonic()
    while state.iteration < last:
        before = time.monotonic()
        if order.seconds and before - started > order.seconds:
            return
        step = next(steps)
        yield step, time.monotonic() - before


def _reached(run: Run, judged: float | None, step: "OuterStep | None" = None) -> Reached:
    return Reached(
        activity="training",
        subject=run.recipe.name,
        done=run.state.iteration,
        total=run.recipe.iterations,
        detail=_scores_in_words(run, judged, step),
    )


def _scores_in_words(run: Run, judged: float | None, step: "OuterStep | None") -> str:
    """``training accuracy 0.979, validation 0.704 (best 0.704 at 100)``, as far as is known."""
    kind, state = run.learner.kind, run.state
    parts = [f"training {kind.score_name} {step.result.score:.3f}"] if step else []
    if judged is not None:
        best = kind.merit(state.best_score)  # the sign of a merit is its own inverse
        parts.append(f"validation {judged:.3f} (best {best:.3f} at {state.best_iteration})")
    return ", ".join(parts)


def _record(step: "OuterStep", took_s: float) -> dict[str, Any]:
    about = {"validation": step.validation, "seconds": round(took_s, 4)}
    return {"iteration": step.iteration, **asdict(step.result), **about}
