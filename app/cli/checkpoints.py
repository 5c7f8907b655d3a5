"""``fewstep checkpoints``: files of meta-trained parameters, made and kept."""

import typer

from app.cli.importing import import_checkpoint

checkpoints = typer.Typer(no_args_is_help=True, help="Checkpoint files.")
checkpoints.command("import")(import_checkpoint)
