"""``fewstep reproduce``: an experiment of the paper, trained, measured and written down."""

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from app.cli.errors import in_one_line
from app.cli.learning.bars import bars
from app.cli.learning.train import train_on_console
from app.trainings.data import checkpoint_file, open_data
from app.trainings.order import TrainingOrder
from app.trainings.publishing import TEST_SEED, wall_time_s
from benchmarks.published.results import Record, keep_records, load_records, number

if TYPE_CHECKING:
    from models.episodes import TaskDistribution
    from models.learner import Adapts, InnerLoop, Learner
    from models.measuring.reproductions import Measure, Row
    from models.outer_loop import MetaParams

EPISODES = 600
STEP_SIZES = (0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is measured: a learner with its meta-parameters, on which distribution.

    training: how the checkpoint was made; None and an empty digest for what no file holds.
    """

    learner: "Learner"
    meta: "MetaParams"
    loop: "Callable[[Adapts], InnerLoop]"
    task: str
    distribution: dict[str, Any]
    training: Record | None = None
    digest: str = ""
    guarded: bool = True

    def recipe_of(self, adapts: "Adapts") -> "InnerLoop":
        """The inner loop that adapts so; the paper's takes every step, whatever comes of it."""
        recipe = self.loop(adapts)
        return replace(recipe, guarded=recipe.guarded and self.guarded)


def reproduce(
    name: Annotated[str, typer.Argument(help="An experiment, or 'list'.")],
    data: Annotated[Path | None, typer.Option(help="Folder with the data set.")] = None,
    committed: Annotated[
        bool, typer.Option(help="Measure the committed checkpoint; train nothing.")
    ] = False,
    docs: Annotated[
        Path | None,
        typer.Option(help="Where results.json and .md are (docs; with --committed: not written)."),
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads, 0: all.")] = 0,
    minutes: Annotated[float, typer.Option(help="Training time in this call, 0: no end.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Trains an experiment of the MAML paper or a shipped checkpoint with its recipe (it goes on
    where it stopped), measures it over 600 test episodes and writes the result into the docs. What
    is committed is measured without writing, unless --docs says where.
    """
    from models.measuring.reproductions import find_row, read_rows

    if name == "list":
        for row in read_rows():
            typer.echo(f"{row.name:45} {row.title}")
        return
    with in_one_line(ValueError, OSError):
        row = find_row(name)
        file = wall_s = None
        if row.checkpoint and committed:
            file = checkpoint_file(row.checkpoint)
        elif row.checkpoint:
            out = Path("runs") / row.checkpoint
            file = train_on_console(
                TrainingOrder(
                    recipe=row.checkpoint,
                    folder=out,
                    data=data,
                    threads=threads,
                    seconds=minutes * 60,
                    device=device,
                    unfinished=True,
                )
            )
            wall_s = wall_time_s(out)
        records = _measure_all(row, file, data)
    for record in records:
        typer.echo(_in_words(record))
    if docs is None and committed:
        return
    pages = docs or Path("docs")
    _say_how_long(records, wall_s, pages)
    keep_records(pages, records)


def _say_how_long(records: list[Record], wall_s: int | None, docs: Path) -> None:
    """Puts the training's wall time in, of a committed file the one that was known before."""
    known = {
        old["digest"]: old["training"].get("wall_s")
        for old in load_records(docs)
        if old["training"]
    }
    for record in records:
        if record["training"] is not None:
            record["training"]["wall_s"] = wall_s or known.get(record["digest"])


def _measure_all(row: "Row", file: Path | None, data: Path | None) -> list[Record]:
    subject = _of_file(file) if file is not None else _untrained(str(row.recipe))
    if row.group == "paper":  # which takes every step, whatever comes of it
        subject = replace(subject, guarded=False)
    with bars() as shown:
        distribution = open_data(subject.distribution, data, shown.progress)
    records = []
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(row.name, total=EPISODES * len(row.measures))

        def moved(before: int, done: int) -> None:
            bar.update(task, completed=before + done)

        for place, measure in enumerate(row.measures):
            progress = partial(moved, EPISODES * place)
            measured = _measure(row, measure, subject, distribution, progress)
            records.append(
                {"row": row.name, "task": subject.task}
                | measured
                | {"command": _command(row), "training": subject.training}
                | {"on": _machine()}
            )
    return records


def _of_file(file: Path) -> Subject:
    from models.files.checkpoint import load_checkpoint

    loaded = load_checkpoint(file.read_bytes())
    made = loaded.provenance
    keys = ("command", "iterations", "planned", "hardware", "start")
    return Subject(
        learner=loaded.learner,
        meta=loaded.meta,
        loop=loaded.recipe_of,
        task=loaded.learner.task,
        distribution=made["recipe"]["distribution"],
        training={key: made[key] for key in keys if key in made},
        digest=loaded.digest,
    )


def _untrained(name: str) -> Subject:
    """A recipe's random start; of what has no network only the data are looked at."""
    from models.meta_training.recipes import read_recipe
    from models.meta_training.training import build_learner, served_loop, start

    recipe = read_recipe(name)
    learner = build_learner(recipe)
    return Subject(
        learner=learner,
        meta=start(recipe, learner).best,
        loop=lambda adapts: replace(served_loop(recipe), guarded=False),
        task=recipe.task,
        distribution=recipe.distribution,
    )


def _measure(
    row: "Row",
    measure: "Measure",
    subject: Subject,
    distribution: "TaskDistribution",
    progress: Callable[[int], None],
) -> Record:
    from models.measuring.baselines import CLASSIFIERS, evaluate_classifier
    from models.measuring.evaluation import evaluate

    common: Record = {
        "split": "test",
        "shape": measure.shape,
        "episodes": EPISODES,
        "seed": TEST_SEED,
    }
    if row.classifier:
        chosen = CLASSIFIERS[row.classifier]
        return asdict(evaluate_classifier(chosen, distribution, **common))
    recipe = replace(subject.recipe_of(measure.adapts), steps=measure.steps)
    if row.tuned:
        recipe = _tuned(measure, subject, distribution)
    result = evaluate(
        subject.learner,
        subject.meta,
        recipe,
        distribution,
        protocol=measure.protocol,
        progress=progress,
        **common,
    )
    about = {"digest": subject.digest, "adapts": measure.adapts}
    return asdict(result) | about | ({"step_size": recipe.step_size} if row.tuned else {})


def _tuned(measure: "Measure", subject: Subject, distribution: "TaskDistribution") -> "InnerLoop":
    from models.measuring.baselines import tune_step_size

    return tune_step_size(
        subject.learner,
        subject.meta,
        replace(subject.recipe_of(measure.adapts), steps=measure.steps),
        distribution,
        candidates=STEP_SIZES,
        shape=measure.shape,
        episodes=100,
        seed=TEST_SEED,
    )


def _command(row: "Row") -> str:
    return f"fewstep reproduce {row.name}" + (" --committed" if row.checkpoint else "")


def _machine() -> str:
    import torch

    return f"{platform.machine()} CPU, torch {torch.__version__}"


def _in_words(record: Record) -> str:
    shape = f"{record['way']}-way {record['shot']}-shot, {record['query']} queries"
    how = f"{shape}, {record['adapts']} in {record['steps']} steps, {record['protocol']}"
    return f"{record['row']}: {number(record)} ({how})"
