"""``fewstep train``: a recipe becomes a checkpoint; stopped at any moment it goes on where it
was.
"""

import json
import platform
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from app.cli.data import cache_folder, data_folder

SAVED_EVERY = 200
TEST_SEED = 600


def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a .toml file.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the run (runs/NAME).")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder with the data set.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads, 0: all.")] = 0,
    stop_after: Annotated[int, typer.Option(help="Outer steps in this call, 0: all.")] = 0,
) -> None:
    """Meta-trains a checkpoint: progress, a JSONL log, a resumable state and a picture of the
    curve.
    """
    import torch

    from models.distributions import open_distribution
    from models.recipes import read_recipe
    from models.training import build_learner

    torch.set_num_threads(threads or torch.get_num_threads())
    chosen = read_recipe(Path(recipe) if recipe.endswith(".toml") else recipe)
    folder = out or Path("runs") / chosen.name
    folder.mkdir(parents=True, exist_ok=True)
    source = data_folder(chosen.distribution["name"], data)
    distribution = open_distribution(chosen.distribution, folder=source, cache=cache_folder())
    learner = build_learner(chosen)
    state = _resume(chosen, learner, folder)
    _run(chosen, learner, distribution, state, folder, stop_after)
    _draw_curve(folder)
    if state.iteration == chosen.iterations:
        _publish(chosen, learner, distribution, state, folder)


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


def _draw_curve(folder: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    measured = [(r["iteration"], r["validation"]) for r in records if r["validation"] is not None]
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot(
        [r["iteration"] for r in records], _smooth([r["score"] for r in records]), label="training"
    )
    axes.plot(*zip(*measured, strict=True), "o-", label="validation") if measured else None
    axes.set(xlabel="outer step", ylabel="score of the queries")
    axes.legend()
    figure.tight_layout()
    figure.savefig(folder / "curve.png", dpi=120)
    plt.close(figure)


def _smooth(values: list[float], share: float = 0.98) -> list[float]:
    smooth: list[float] = []
    for value in values:
        smooth.append(value if not smooth else share * smooth[-1] + (1 - share) * value)
    return smooth


def _publish(chosen: Any, learner: Any, distribution: Any, state: Any, folder: Path) -> None:
    """Writes the best θ by validation, with its score on test episodes, as a checkpoint file."""
    from models.checkpoint import Checkpoint, dump_checkpoint
    from models.distributions import INPUT_PREPROCESSING
    from models.evaluation import evaluate
    from models.training import served_loop

    with Progress() as bar:
        task = bar.add_task("600 test episodes", total=600)
        measured = evaluate(
            learner,
            state.best,
            served_loop(chosen),
            distribution,
            split="test",
            shape=chosen.validation.shape,
            episodes=600,
            seed=TEST_SEED,
            progress=lambda done: bar.update(task, completed=done),
        )
    inner = chosen.inner_loop
    checkpoint = Checkpoint(
        name=chosen.name,
        learner=learner,
        meta=state.best,
        network=chosen.network,
        network_config=chosen.network_config,
        input={
            "shape": list(chosen.input_shape),
            "preprocessing": INPUT_PREPROCESSING[chosen.distribution["name"]],
        },
        max_way=chosen.max_way,
        inner_loop={
            "steps": inner.steps,
            "step_size": inner.step_size,
            "normalisation": inner.normalisation,
        },
        provenance=_provenance(chosen, distribution, state.iteration),
        evaluation=[asdict(measured)],
    )
    target = folder / f"{chosen.name}.safetensors"
    target.write_bytes(dump_checkpoint(checkpoint))
    typer.echo(f"{target}: {measured.mean:.4f} ± {measured.ci95:.4f} over 600 test episodes")


def _provenance(chosen: Any, distribution: Any, iterations: int) -> dict[str, Any]:
    import torch

    return {
        "command": shlex.join(["fewstep", "train", chosen.name]),
        "recipe": json.loads(json.dumps(asdict(chosen))),
        "seed": chosen.seed,
        "iterations": iterations,
        "data": json.loads(json.dumps(distribution.describe())),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "hardware": f"{platform.machine()} CPU, {torch.get_num_threads()} threads",
    }
