"""The command line ``fewstep``: one file a command, gathered here."""

import typer

from app.cli.train import train

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(train)
