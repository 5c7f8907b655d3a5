"""A training run: what it trains on what, where it stands, and the folder that holds its log and
its state.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.trainings.data import checkpoint_file

if TYPE_CHECKING:
    from models.episodes import TaskDistribution
    from models.learner import Learner
    from models.meta_training.recipes import Recipe
    from models.meta_training.training import TrainingState
    from models.normalisation import Params


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run in memory; training changes its ``state``, and nothing else of it."""

    recipe: "Recipe"
    learner: "Learner"
    distribution: "TaskDistribution"
    state: "TrainingState"
    folder: Path


def data_of(distribution: "TaskDistribution") -> str | None:
    """The digest of a distribution's data; None of one without data, or without a digest."""
    digest = distribution.describe().get("digest")
    return None if digest is None else str(digest)


def log_of(folder: Path) -> Path:
    """The file with a line of JSON for every outer step."""
    return folder / "log.jsonl"


def check_device(name: str) -> None:
    """Raises ValueError for a device that torch does not have here."""
    import torch

    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or not (index or "0").isdecimal():
        raise ValueError(f"device: expected cpu or cuda, got {name!r}")
    seen = torch.cuda.device_count() if kind == "cuda" else 1
    if int(index or 0) >= seen:
        raise ValueError(
            f"device {name}: torch {torch.__version__} sees {seen or 'no'} GPU{'s' * (seen > 1)} "
            "here; train with --device cpu, or install a build of torch for your GPU"
        )


def resume_state(
    recipe: "Recipe", learner: "Learner", folder: Path, device: str, data: str | None
) -> "TrainingState":
    """The state that the folder holds, or a run's first; the log is cut to the state's steps.

    data: the digest of the data that it is to go on with, where they have one.

    Raises ValueError where the state belongs to other data or another recipe, or the θ to start
    from to another network.
    """
    from models.meta_training.training import start
    from models.meta_training.training_state import OtherRun, load_state

    saved = state_file(folder)
    try:
        if saved.is_file():
            state = load_state(recipe, saved.read_bytes(), device, data)
        else:
            state = start(recipe, learner, _warm_theta(recipe), device)
    except OtherRun as fault:
        anew = f"begin anew with --out FOLDER, or by removing {folder}"
        raise ValueError(f"{saved}: {fault}; go on with what it began with, or {anew}") from fault
    keep_log_until(log_of(folder), state.iteration)
    return state


def save_state(run: Run) -> None:
    """Writes where the run stands; the same command goes on from there."""
    from models.meta_training.training_state import dump_state

    partial = run.folder / "state.partial"
    partial.write_bytes(dump_state(run.recipe, run.state, data_of(run.distribution)))
    partial.replace(state_file(run.folder))


def state_file(folder: Path) -> Path:
    """Where a run's state lies."""
    return folder / "state.safetensors"


def _warm_theta(recipe: "Recipe") -> "Params | None":
    """The θ of the checkpoint that the recipe starts from, where it names one."""
    from models.files.checkpoint import load_checkpoint

    if not recipe.start:
        return None
    loaded = load_checkpoint(checkpoint_file(recipe.start).read_bytes())
    network = {"name": recipe.network, **recipe.network_config}
    if {"name": loaded.network, **loaded.network_config} != network:
        raise ValueError(f"{recipe.start} has another network than {recipe.name}")
    return loaded.meta.theta


def keep_log_until(log: Path, iteration: int) -> None:
    """Cuts a log to the outer steps that a state has."""
    lines = log.read_text().splitlines(keepends=True) if log.is_file() else []
    kept = [line for line in lines if line.endswith("\n")][:iteration]
    log.write_text("".join(kept))
