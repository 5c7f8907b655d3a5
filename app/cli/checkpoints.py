"""``fewstep checkpoints``: what the service can adapt from; to add to it and to list it, also while
it runs.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Engine

from app.checkpoints.registry import every_checkpoint, install
from app.cli.calling.registry import alias, delete, describe, download, upload
from app.cli.errors import in_one_line
from app.cli.learning.calibrating import calibrate_checkpoint
from app.cli.learning.importing import import_checkpoint
from app.cli.tenants import Tenant
from app.db.migrating import migrated
from app.errors import ServiceError
from app.settings import Settings, load_settings
from app.store import StoreFull, StoreUnavailable, open_store
from app.values.checkpoint import CheckpointRow
from app.values.tenants import DEFAULT

checkpoints = typer.Typer(no_args_is_help=True, help="Checkpoints that the service adapts from.")
checkpoints.command("import")(import_checkpoint)
checkpoints.command("calibrate")(calibrate_checkpoint)
for command in (upload, describe, download, alias, delete):
    checkpoints.command()(command)


@checkpoints.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="A .safetensors file that `train` wrote.")],
    tenant: Tenant = DEFAULT,
) -> None:
    """Checks a checkpoint file and makes it a version of its name; requests can name it at once."""
    with _service() as (engine, settings):
        store = open_store(settings.effective_store_url)
        [row] = install(engine, store, tenant, [file.read_bytes()])
    typer.echo(_line(row))


@checkpoints.command("list")
def show(
    tenant: Tenant = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each.")] = False,
) -> None:
    """Lists every version that a tenant can use, the shipped ones among them."""
    with _service() as (engine, _):
        rows = list(every_checkpoint(engine, tenant))
    for row in rows:
        typer.echo(json.dumps(_told(row)) if as_json else _line(row))


@contextmanager
def _service() -> Iterator[tuple[Engine, Settings]]:
    settings = load_settings()
    mendable = (ValueError, OSError, ServiceError, StoreFull, StoreUnavailable)
    with in_one_line(*mendable), migrated(settings.effective_database_url) as engine:
        yield engine, settings


def _told(row: CheckpointRow) -> dict[str, Any]:
    digest = f"sha256:{row.ref.digest}"
    return {"name": row.ref.name, "version": row.ref.version, "digest": digest, "bytes": row.bytes}


def _line(row: CheckpointRow) -> str:
    return f"{row.ref.name}:{row.ref.version}  sha256:{row.ref.digest}"
