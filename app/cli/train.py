"""``fewstep train``: a recipe becomes a checkpoint; stopped at any moment it goes on where it
was.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from app.cli.complaining import in_one_line
from app.cli.curves import draw_curve
from app.cli.data import open_data
from app.cli.publishing import publish

SAVED_EVERY = 200


def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a .toml file.")],
    name: Annotated[str | None, typer.Option(help="The checkpoint's name; the recipe's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run (runs/NAME).")] = None,
    data: Annotated[Path | None, typer.Option(help="The data set: its folder or file.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads, 0: all.")] = 0,
    stop_after: Annotated[int, typer.Option(help="Outer steps in this call, 0: all.")] = 0,
) -> None:
    """Meta-trains a checkpoint: progress, a JSONL log, a resumable state and a picture of the
    curve.
    """
    import torch

    from models.recipes import read_recipe
    from models.training import build_learner

    torch.set_num_threads(threads or torch.get_num_threads())
    with in_one_line(ValueError, OSError):
        chosen = _named(read_recipe(Path(recipe) if recipe.endswith(".toml") else recipe), name)
        distribution = open_data(chosen.distribution, data)
        chosen = _fitted(chosen, distribution)
        folder = out or Path("runs") / chosen.name
        folder.mkdir(parents=True, exist_ok=True)
        learner = build_learner(chosen)
        state = _resume(chosen, learner, folder)
    if state.iteration:
        typer.echo(f"goes on after outer step {state.iteration} of {chosen.iterations}")
    _run(chosen, learner, distribution, state, folder, stop_after)
    draw_curve(folder)
    if state.iteration == chosen.iterations:
        said = [recipe] if name is None else [recipe, "--name", name]
        publish(chosen, learner, distribution, state, folder, said=said)
    else:
        typer.echo(f"stopped after outer step {state.iteration}; the same command goes on")


def _named(chosen: Any, name: str | None) -> Any:
    from dataclasses import replace

    from app.registry import check_name

    check_name(name or chosen.name)
    return chosen if name is None else replace(chosen, name=name)


def _fitted(chosen: Any, distribution: Any) -> Any:
    """The recipe as the data can give it; what had to change is said."""
    from models.episodes import Supplying
    from models.fitting import fit_recipe

    if not isinstance(distribution, Supplying):
        return chosen
    fitted, changes = fit_recipe(chosen, distribution.supply())
    for change in changes:
        typer.echo(change)
    return fitted


def _resume(chosen: Any, learner: Any, folder: Path) -> Any:
    from models.training import start
    from models.training_state import load_state

    saved = folder / "state.safetensors"
    state = load_state(chosen, saved.read_bytes()) if saved.is_file() else start(chosen, learner)
    _keep_log_until(folder / "log.jsonl", state.iteration)
    return state


def _run(
    chosen: Any, learner: Any, distribution: Any, state: Any, folder: Path, stop_after: int
) -> None:
    from models.training import train as outer_loop

    last = min(chosen.iterations, state.iteration + (stop_after or chosen.iterations))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    with Progress(*columns, TimeRemainingColumn()) as bar, (folder / "log.jsonl").open("a") as log:
        task = bar.add_task(chosen.name, total=chosen.iterations, completed=state.iteration)
        for step in _until(last, outer_loop(chosen, learner, distribution, state), state):
            log.write(json.dumps(_record(step)) + "\n")
            bar.update(task, completed=step.iteration, description=_headline(chosen.name, step))
            if step.iteration % SAVED_EVERY == 0 or step.iteration == last:
                log.flush()
                _save(chosen, state, folder)


def _until(last: int, steps: Iterator[Any], state: Any) -> Iterator[Any]:
    while state.iteration < last:
        yield next(steps)


def _record(step: Any) -> dict[str, Any]:
    return {"iteration": step.iteration, **asdict(step.result), "validation": step.validation}


def _headline(name: str, step: Any) -> str:
    return f"{name} loss {step.result.loss:.3f} score {step.result.score:.3f}"


def _save(chosen: Any, state: Any, folder: Path) -> None:
    from models.training_state import dump_state

    partial = folder / "state.partial"
    partial.write_bytes(dump_state(chosen, state))
    partial.replace(folder / "state.safetensors")


def _keep_log_until(log: Path, iteration: int) -> None:
    lines = log.read_text().splitlines(keepends=True) if log.is_file() else []
    kept = [line for line in lines if line.endswith("\n")][:iteration]
    log.write_text("".join(kept))
