"""``fewstep checkpoints calibrate``: an existing checkpoint learns which inputs it is for."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from app.cli.errors import in_one_line
from app.cli.learning.bars import bars
from app.trainings.data import checkpoint_file, open_data, trained_on
from app.trainings.reliability import KEY, calibrated

SHAPE = ("way", "shot", "query")


def calibrate_checkpoint(
    checkpoint: Annotated[str, typer.Argument(help="A .safetensors file or a committed name.")],
    data: Annotated[Path | None, typer.Option(help="The data set: its folder or file.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The file to write (NAME.calibrated.safetensors).")
    ] = None,
) -> None:
    """Measures on validation classes how far known inputs lie from their support sets, and a
    temperature for the probabilities; writes the checkpoint with both.
    """
    from models.episodes import EpisodeShape
    from models.files.checkpoint import dump_checkpoint, load_checkpoint

    with in_one_line(ValueError, OSError), bars() as shown:
        loaded = load_checkpoint(checkpoint_file(checkpoint).read_bytes())
        target = out or Path(f"{loaded.name}.calibrated.safetensors")
        if target.exists():
            raise ValueError(f"{target} is there already; name another file with --out")
        if not loaded.learner.kind.knows_its_inputs:
            raise ValueError(f"expected a classifier, got {loaded.learner.task}")
        recipe = trained_on(loaded, "calibrate")
        distribution = open_data(recipe["distribution"], data, shown.progress)
        shape = EpisodeShape(**{key: recipe["validation"][key] for key in SHAPE})
        made = calibrated(loaded, distribution, shape, shown.progress)
        command = shlex.join(["fewstep", "checkpoints", "calibrate", loaded.name])
        noted = {"command": command, "data": distribution.describe().get("digest")}
        made = replace(made, provenance=made.provenance | {"calibrated": noted})
        written = dump_checkpoint(made)
        partial = target.with_name(f"{target.name}.partial")
        partial.write_bytes(written)
        partial.replace(target)
    measured = made.evaluation[0].get(KEY, {}) if made.evaluation else {}
    told = ", ".join(f"{name} {value}" for name, value in measured.items())
    typer.echo(f"{target}: {len(written)} bytes; {told}")
