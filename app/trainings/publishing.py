"""The end of a training run: the best θ by validation, measured and kept as a checkpoint."""

import hashlib
import json
import math
import platform
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.trainings.choices import chosen_in_words
from app.trainings.data import checkpoint_file
from app.trainings.records import read_records
from app.trainings.reliability import KEY, calibrated
from app.trainings.reliability import in_words as reliability_in_words
from app.trainings.rivals import in_words
from app.trainings.runs import Run
from app.trainings.seen import trained_classes
from app.values.progress import Progress, Reached

if TYPE_CHECKING:
    from torch import device

    from models.files.checkpoint import Checkpoint
    from models.files.served_loop import ServedInnerLoop
    from models.learner import Learner
    from models.measuring.evaluation import Evaluation
    from models.meta_training.choosing import Choice

TEST_EPISODES = 600
TEST_SEED = 600


def publish(
    run: Run, *, said: Sequence[str], progress: Progress, say: Callable[[str], None]
) -> Path:
    """Writes the best θ by validation, with its score on test episodes, as a checkpoint file, and
    gives its path.

    said: what decides the result of what the command line said: the recipe, and the name. Raises
    NotFinite where the score is no finite number.
    """
    from models.files.checkpoint import dump_checkpoint
    from models.outer_loop import NotFinite

    choice = _choose(run, progress) if run.recipe.validation.chooses else None
    if choice is not None:
        say(chosen_in_words(run.learner, choice))
    served = choice.loop if choice else run.recipe.inner_loop
    measured, rivals = _measure(run, served, progress)
    if not math.isfinite(measured.mean):
        raise NotFinite("the score on test episodes is not finite; no checkpoint was written")
    target = run.folder / f"{run.recipe.name}.safetensors"
    provenance = _provenance(run, said) | ({"chosen": asdict(choice)} if choice else {})
    made = _checkpoint(run, served, measured, provenance)
    made = calibrated(made, run.distribution, run.recipe.validation.shape, progress)
    target.write_bytes(dump_checkpoint(made))
    say(f"{target}: {measured.mean:.4f} ± {measured.ci95:.4f} over {TEST_EPISODES} test episodes")
    for line in (*in_words(run.learner, measured, rivals), *_reliability(made)):
        say(line)
    return target


def _reliability(made: "Checkpoint") -> list[str]:
    from models.measuring.reliability import Reliability

    found = made.evaluation[0].get(KEY)
    return reliability_in_words(found and Reliability(**found))


def wall_time_s(folder: Path) -> int | None:
    """Seconds of all outer steps in the run's log, validations included; None for a log without
    them.
    """
    records = read_records(folder)
    if not all("seconds" in record for record in records):
        return None
    total: float = sum(record["seconds"] for record in records)
    return round(total)


def _choose(run: Run, progress: Progress) -> "Choice":
    """The inner loop that validation episodes are best adapted by."""
    from models.meta_training.choosing import choose_loop

    chunks = count()

    def moved() -> None:
        tried = Reached(activity="choosing", subject="inner steps", done=next(chunks), total=None)
        progress.moved(tried)

    moved()
    return choose_loop(
        run.recipe, _served_learner(run), run.state.best, run.distribution, progress=moved
    )


def _measure(
    run: Run, served: "ServedInnerLoop", progress: Progress
) -> "tuple[Evaluation, dict[str, Evaluation]]":
    """The score of the best θ on test episodes, and those of the simplest methods on the same."""
    from models.measuring.evaluation import evaluate, trained_protocol
    from models.measuring.rivals import evaluate_rivals
    from models.meta_training.training import served_loop

    def moved(done: int) -> None:
        progress.moved(Reached(activity="testing", subject=subject, done=done, total=TEST_EPISODES))

    subject = f"{TEST_EPISODES} test episodes"
    moved(0)
    measure = partial(
        evaluate,
        split="test",
        shape=run.recipe.validation.shape,
        episodes=TEST_EPISODES,
        seed=TEST_SEED,
        protocol=trained_protocol(run.learner),
        progress=moved,
    )
    loop = served_loop(replace(run.recipe, inner_loop=served))
    subject_of = (_served_learner(run), run.state.best, loop, run.distribution)
    return measure(*subject_of), evaluate_rivals(*subject_of, **measure.keywords)


def _served_learner(run: Run) -> "Learner":
    return replace(run.learner, prior=run.state.best_prior)


def _checkpoint(
    run: Run, served: "ServedInnerLoop", measured: "Evaluation", provenance: dict[str, Any]
) -> "Checkpoint":
    from models.files.checkpoint import Checkpoint

    recipe = run.recipe
    return Checkpoint(
        name=recipe.name,
        learner=_served_learner(run),
        meta=run.state.best,
        network=recipe.network,
        network_config=recipe.network_config,
        input_shape=recipe.input_shape,
        preprocessing=run.distribution.preprocessing,
        max_way=recipe.max_way,
        inner_loop=served,
        provenance=provenance,
        evaluation=[asdict(measured)],
    )


def _provenance(run: Run, said: Sequence[str]) -> dict[str, Any]:
    import torch

    recipe = run.recipe
    return {
        "command": shlex.join(["fewstep", "train", *said]),
        "recipe": json.loads(json.dumps(asdict(recipe))),
        "seed": recipe.seed,
        "iterations": run.state.iteration,
        "planned": recipe.iterations,
        "start": recipe.start and _start(recipe.start),
        "best_iteration": run.state.best_iteration,
        "data": json.loads(json.dumps(run.distribution.describe())) | trained_classes(run),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "hardware": _hardware(run.state.device),
    }


def _start(name: str) -> dict[str, str]:
    digest = hashlib.sha256(checkpoint_file(name).read_bytes()).hexdigest()
    return {"name": name, "digest": f"sha256:{digest}"}


def _hardware(device: "device") -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{platform.machine()} CPU, {threads} thread{'s' if threads > 1 else ''}"
