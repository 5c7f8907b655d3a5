"""``fewstep train``: a recipe becomes a checkpoint; stopped at any moment it goes on where it
was.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from app.cli.errors import in_one_line
from app.trainings.curves import draw_curve
from app.trainings.data import checkpoint_file, open_data
from app.trainings.publishing import publish

SAVED_EVERY = 200


def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a .toml file.")],
    name: Annotated[str | None, typer.Option(help="The checkpoint's name; the recipe's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run (runs/NAME).")] = None,
    data: Annotated[Path | None, typer.Option(help="The data set: its folder or file.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads, 0: all.")] = 0,
    stop_after: Annotated[int, typer.Option(help="Outer steps in this call, 0: all.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Meta-trains a checkpoint: progress, a JSONL log, a resumable state and a picture of the
    curve.
    """
    with in_one_line(ValueError, OSError):
        run_training(
            recipe,
            name=name,
            out=out,
            data=data,
            threads=threads,
            stop_after=stop_after,
            device=device,
        )


def run_training(
    recipe: str,
    *,
    name: str | None = None,
    out: Path | None,
    data: Path | None,
    threads: int = 0,
    stop_after: int = 0,
    seconds: float = 0,
    device: str = "cpu",
    unfinished: bool = False,
) -> Path | None:
    """Runs what is left of a recipe, or as much as this call may; the checkpoint's file once it is
    done.

    unfinished: publishes where it stands, too. Raises ValueError and FileNotFoundError with what a
    person can mend.
    """
    import torch

    from models.meta_training.recipes import read_recipe
    from models.meta_training.training import build_learner, validate
    from worker.allocator import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(threads or torch.get_num_threads())
    chosen = _named(read_recipe(Path(recipe) if recipe.endswith(".toml") else recipe), name)
    distribution = open_data(chosen.distribution, data)
    chosen = _fitted(chosen, distribution)
    folder = out or Path("runs") / chosen.name
    folder.mkdir(parents=True, exist_ok=True)
    learner = build_learner(chosen)
    state = _resume(chosen, learner, folder, device)
    if state.iteration:
        typer.echo(f"goes on after outer step {state.iteration} of {chosen.iterations}")
    last = min(chosen.iterations, state.iteration + (stop_after or chosen.iterations))
    _run(chosen, learner, distribution, state, folder, last, seconds)
    draw_curve(folder)
    if state.iteration < chosen.iterations:
        typer.echo(f"stopped after outer step {state.iteration}; the same command goes on")
        if not unfinished:
            return None
        state = replace(state)  # a judgement out of turn must not change how the run goes on
        validate(chosen, learner, distribution, state)
    said = [recipe] if name is None else [recipe, "--name", name]
    return publish(chosen, learner, distribution, state, folder, said=said)


def _named(chosen: Any, name: str | None) -> Any:
    from app.checkpoints.registry import check_name

    check_name(name or chosen.name)
    return chosen if name is None else replace(chosen, name=name)


def _fitted(chosen: Any, distribution: Any) -> Any:
    """The recipe as the data can give it; what had to change is said."""
    from models.episodes import Supplying
    from models.meta_training.fitting import fit_recipe

    if not isinstance(distribution, Supplying):
        return chosen
    fitted, changes = fit_recipe(chosen, distribution.supply())
    for change in changes:
        typer.echo(change)
    return fitted


def _resume(chosen: Any, learner: Any, folder: Path, device: str) -> Any:
    from models.meta_training.training import start
    from models.meta_training.training_state import load_state

    saved = folder / "state.safetensors"
    if saved.is_file():
        state = load_state(chosen, saved.read_bytes(), device)
    else:
        warm = _warm_theta(chosen) if chosen.start else None
        state = start(chosen, learner, warm, device)
    _keep_log_until(folder / "log.jsonl", state.iteration)
    return state


def _warm_theta(chosen: Any) -> Any:
    from models.files.checkpoint import load_checkpoint

    loaded = load_checkpoint(checkpoint_file(chosen.start).read_bytes())
    network = {"name": chosen.network, **chosen.network_config}
    if {"name": loaded.network, **loaded.network_config} != network:
        raise ValueError(f"{chosen.start} has another network than {chosen.name}")
    return loaded.meta.theta


def _run(
    chosen: Any,
    learner: Any,
    distribution: Any,
    state: Any,
    folder: Path,
    last: int,
    seconds: float,
) -> None:
    from models.meta_training.training import train as outer_loop

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    steps = outer_loop(chosen, learner, distribution, state)
    with (
        Progress(*columns, TimeRemainingColumn()) as bar,
        (folder / "log.jsonl").open("a", buffering=1) as log,
    ):
        task = bar.add_task(chosen.name, total=chosen.iterations, completed=state.iteration)
        for step, took_s in _until(last, seconds, steps, state):
            log.write(json.dumps(_record(step, took_s)) + "\n")
            bar.update(task, completed=step.iteration, description=_headline(chosen.name, step))
            if step.iteration % SAVED_EVERY == 0:
                _save(chosen, state, folder)
    _save(chosen, state, folder)


def _until(
    last: int, seconds: float, steps: Iterator[Any], state: Any
) -> Iterator[tuple[Any, float]]:
    """The steps up to the last one, or for so many seconds (0: no end), each with its duration."""
    started = time.monotonic()
    while state.iteration < last:
        before = time.monotonic()
        if seconds and before - started > seconds:
            return
        step = next(steps)
        yield step, time.monotonic() - before


def _record(step: Any, took_s: float) -> dict[str, Any]:
    about = {"validation": step.validation, "seconds": round(took_s, 4)}
    return {"iteration": step.iteration, **asdict(step.result), **about}


def _headline(name: str, step: Any) -> str:
    return f"{name} loss {step.result.loss:.3f} score {step.result.score:.3f}"


def _save(chosen: Any, state: Any, folder: Path) -> None:
    from models.meta_training.training_state import dump_state

    partial = folder / "state.partial"
    partial.write_bytes(dump_state(chosen, state))
    partial.replace(folder / "state.safetensors")


def _keep_log_until(log: Path, iteration: int) -> None:
    lines = log.read_text().splitlines(keepends=True) if log.is_file() else []
    kept = [line for line in lines if line.endswith("\n")][:iteration]
    log.write_text("".join(kept))
