"""``fewstep migrate`` and ``fewstep worker-health``: what an operator's compose file runs."""

import socket

import typer

from app.cli.errors import in_one_line
from app.cli.serving.setup import prepare
from app.db.connections import open_engine, reading
from app.db.workers import live_workers
from app.errors import ServiceError
from app.logs import set_up_logging
from app.settings import load_settings


def migrate() -> None:
    """Brings the database to the newest schema and installs the shipped checkpoints and first
    key.
    """
    settings = load_settings()
    set_up_logging(settings)
    with in_one_line(ValueError, ServiceError):
        prepare(settings)


def worker_health() -> None:
    """Exit code 0 where a worker of this host was seen just now."""
    try:
        with reading(open_engine(load_settings().effective_database_url)) as connection:
            live = live_workers(connection, host=socket.gethostname())
    except ServiceError as error:
        typer.echo(f"fewstep: {error.detail}", err=True)
        raise typer.Exit(1) from None
    if not live:
        typer.echo("fewstep: no worker of this host is alive", err=True)
        raise typer.Exit(1)
