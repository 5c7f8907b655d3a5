"""The end of a training run: the best θ by validation, measured and kept as a checkpoint."""

import hashlib
import json
import platform
import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import typer
from rich.progress import Progress

from app.trainings.data import checkpoint_file

TEST_SEED = 600


def publish(
    chosen: Any, learner: Any, distribution: Any, state: Any, folder: Path, *, said: Sequence[str]
) -> Path:
    """Writes the best θ by validation, with its score on test episodes, as a checkpoint file, and
    gives its path.

    said: what decides the result of what the command line said: the recipe, and the name.
    """
    from models.files.checkpoint import Checkpoint, dump_checkpoint

    measured = _measure(chosen, learner, distribution, state)
    checkpoint = Checkpoint(
        name=chosen.name,
        learner=replace(learner, prior=state.best_prior),
        meta=state.best,
        network=chosen.network,
        network_config=chosen.network_config,
        input={
            "shape": list(chosen.input_shape),
            "preprocessing": distribution.preprocessing,
        },
        max_way=chosen.max_way,
        inner_loop=asdict(chosen.inner_loop),
        provenance=_provenance(chosen, distribution, state, said),
        evaluation=[asdict(measured)],
    )
    target = folder / f"{chosen.name}.safetensors"
    target.write_bytes(dump_checkpoint(checkpoint))
    typer.echo(f"{target}: {measured.mean:.4f} ± {measured.ci95:.4f} over 600 test episodes")
    return target


def wall_time_s(folder: Path) -> int | None:
    """Seconds of all outer steps in the run's log, validations included; None for a log without
    them.
    """
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    if not all("seconds" in record for record in records):
        return None
    total: float = sum(record["seconds"] for record in records)
    return round(total)


def _measure(chosen: Any, learner: Any, distribution: Any, state: Any) -> Any:
    from models.measuring.evaluation import evaluate, trained_protocol
    from models.meta_training.training import served_loop

    with Progress() as bar:
        task = bar.add_task("600 test episodes", total=600)
        return evaluate(
            replace(learner, prior=state.best_prior),
            state.best,
            served_loop(chosen),
            distribution,
            split="test",
            shape=chosen.validation.shape,
            episodes=600,
            seed=TEST_SEED,
            protocol=trained_protocol(learner),
            progress=lambda done: bar.update(task, completed=done),
        )


def _provenance(chosen: Any, distribution: Any, state: Any, said: Sequence[str]) -> dict[str, Any]:
    import torch

    return {
        "command": shlex.join(["fewstep", "train", *said]),
        "recipe": json.loads(json.dumps(asdict(chosen))),
        "seed": chosen.seed,
        "iterations": state.iteration,
        "planned": chosen.iterations,
        "start": chosen.start and _start(chosen.start),
        "best_iteration": state.best_iteration,
        "data": json.loads(json.dumps(distribution.describe())),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "hardware": _hardware(state.device),
    }


def _start(name: str) -> dict[str, str]:
    digest = hashlib.sha256(checkpoint_file(name).read_bytes()).hexdigest()
    return {"name": name, "digest": f"sha256:{digest}"}


def _hardware(device: Any) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{platform.machine()} CPU, {threads} thread{'s' if threads > 1 else ''}"
