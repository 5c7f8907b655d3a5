"""``fewstep evaluate``: a checkpoint's score on episodes of classes that it never saw."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from app.cli.errors import in_one_line
from app.cli.learning.bars import bars
from app.trainings.data import checkpoint_file, open_data, trained_on
from app.trainings.reliability import in_words as reliability_in_words
from app.trainings.reliability import measured_of, reliability_of
from app.trainings.rivals import in_words
from app.trainings.seen import in_words as seen_in_words
from app.trainings.seen import seen_in_training

if TYPE_CHECKING:
    from models.episodes import EpisodeShape
    from models.files.checkpoint import Checkpoint
    from models.learner import InnerLoop
    from models.measuring.evaluation import Evaluation
    from models.measuring.reliability import Reliability


def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="A .safetensors file or a committed name.")],
    data: Annotated[Path | None, typer.Option(help="The data set: its folder or file.")] = None,
    episodes: Annotated[int, typer.Option(min=2, help="Test episodes.")] = 600,
    seed: Annotated[int, typer.Option(help="Which episodes.")] = 600,
    way: Annotated[int | None, typer.Option(min=1, help="Classes; the recipe's.")] = None,
    shot: Annotated[int | None, typer.Option(min=1, help="Support examples per class.")] = None,
    query: Annotated[int | None, typer.Option(min=1, help="Queries per class.")] = None,
    kinds: Annotated[
        int | None, typer.Option(min=1, help="Classes of the data in each; shots are of each.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=0, help="Inner steps; the recipe's.")] = None,
    transductive: Annotated[
        bool, typer.Option(help="Normalise an episode's queries together.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Measures a checkpoint over test episodes: mean and 95 % interval, one query at a time; beside
    it the simplest methods on the same episodes.
    """
    from models.files.checkpoint import load_checkpoint
    from models.measuring.evaluation import evaluate as measure
    from models.measuring.rivals import evaluate_rivals

    with in_one_line(ValueError, OSError), bars() as shown:
        loaded = load_checkpoint(checkpoint_file(checkpoint).read_bytes())
        recipe = trained_on(loaded, "evaluate")
        distribution = open_data(recipe["distribution"], data, shown.progress)
    shape = _shape(recipe["validation"], way=way, shot=shot, query=query, kinds=kinds)
    with in_one_line(ValueError), Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{episodes} test episodes", total=episodes)
        asked: dict[str, Any] = {
            "split": "test",
            "shape": shape,
            "episodes": episodes,
            "seed": seed,
            "protocol": "transductive" if transductive else "one by one",
            "progress": lambda done: bar.update(task, completed=done),
        }
        loop = _with_steps(loaded.recipe, steps)
        subject = (loaded.learner, loaded.meta, loop, distribution)
        measured, rivals = measure(*subject, **asked), evaluate_rivals(*subject, **asked)
        asked_of = (loaded, loop, distribution, shape, episodes)
        found = None if transductive else reliability_of(*asked_of)
    seen = seen_in_training(loaded, distribution)
    if as_json:
        typer.echo(_in_json(measured, rivals, seen, found))
        return
    lines = [_in_words(loaded, measured), *in_words(loaded.learner, measured, rivals)]
    typer.echo("\n".join([*lines, *reliability_in_words(found), *seen_in_words(seen)]))


def _in_json(
    measured: "Evaluation",
    rivals: "Mapping[str, Evaluation]",
    seen: list[str] | None,
    found: "Reliability | None",
) -> str:
    beside = {name: asdict(rival) for name, rival in rivals.items()}
    told = {"beside": beside, "trained_on": seen, "reliability": found and measured_of(found)}
    return json.dumps(asdict(measured) | told)


def _shape(usual: Mapping[str, int], **asked: int | None) -> "EpisodeShape":
    """What was asked for, else the recipe's; older recipes know no kinds."""
    from models.episodes import EpisodeShape

    chosen: dict[str, Any] = {k: v or usual.get(k, 1) for k, v in asked.items()}
    return EpisodeShape(**chosen)


def _with_steps(recipe: "InnerLoop", steps: int | None) -> "InnerLoop":
    return recipe if steps is None else replace(recipe, steps=steps)


def _in_words(loaded: "Checkpoint", measured: "Evaluation") -> str:
    score = loaded.learner.kind.score_name
    what = f"{measured.way}-way {measured.shot}-shot, {measured.query} queries"
    if measured.kinds > 1:
        what += f" of each of {measured.kinds} kinds"
    return (
        f"{loaded.name}: {score} {measured.mean:.4f} ± {measured.ci95:.4f} over "
        f"{measured.episodes} episodes, {what}, {measured.steps} steps, "
        f"{measured.protocol}, seed {measured.seed}"
    )
