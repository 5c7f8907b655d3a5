"""``fewstep keys``: create, list and revoke API keys."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from redis import Redis
from sqlalchemy import Engine

from app.cli.errors import in_one_line
from app.cli.serving import valkey
from app.cli.tenants import Tenant
from app.db.connections import reading, writing
from app.db.keys import NAME_CHARACTERS, KeyRow, create_key, list_keys, revoke_key
from app.db.migrating import migrated
from app.errors import ServiceError
from app.messages.news import tell_keys_changed
from app.settings import load_settings
from app.values.caller import Scope
from app.values.tenants import DEFAULT

keys = typer.Typer(
    no_args_is_help=True, help="API keys. From the first one on, all requests need one."
)


@keys.command("create")
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")] = "",
    tenant: Tenant = DEFAULT,
    days: Annotated[int | None, typer.Option(min=1, help="How long it lives.")] = None,
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it may do, again for more; all unless said.")
    ] = None,
) -> None:
    """Creates a key and prints it, this once; only its hash is kept."""
    if len(name) > NAME_CHARACTERS:
        raise typer.BadParameter(
            f"expected up to {NAME_CHARACTERS} characters", param_hint="--name"
        )
    lifetime_s = None if days is None else days * 86_400.0
    with _database() as engine, in_one_line(ValueError), writing(engine) as connection:
        secret = create_key(
            connection,
            tenant_id=tenant,
            name=name,
            lifetime_s=lifetime_s,
            scopes=scope or list(Scope),
        )
    _tell_services()
    typer.echo("Keep it now, it is not shown again:", err=True)
    typer.echo(secret)


@keys.command("list")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each.")] = False,
) -> None:
    """Lists the keys without their secrets."""
    with _database() as engine, reading(engine) as connection:
        rows = list_keys(connection)
    for row in rows:
        if as_json:
            typer.echo(json.dumps(asdict(row) | {"state": _state(row)}))
            continue
        since = datetime.fromtimestamp(row.created_at, UTC).strftime("%Y-%m-%d")
        can = ",".join(row.scopes)
        typer.echo(f"{row.id}  {row.tenant_id}  {_state(row)}  since {since}  {can}  {row.name}")


@keys.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(help="key_…, as listed.")]) -> None:
    """Ends a key at once. With none left, requests stay refused until one is created."""
    with _database() as engine, writing(engine) as connection:
        found = revoke_key(connection, key_id)
    _tell_services()
    if not found:
        typer.echo("fewstep: there is no live key of this id", err=True)
        raise typer.Exit(1)


@contextmanager
def _database() -> Iterator[Engine]:
    url = load_settings().effective_database_url
    with in_one_line(ServiceError), migrated(url) as engine:
        yield engine


def _tell_services() -> None:
    """Has the running services forget their keys now; where Redis is away they do within 1 s."""
    settings = load_settings()
    path = valkey.place_of_socket(settings.data_dir)
    url = settings.redis_url or (valkey.redis_url(path) if path.exists() else None)
    if url is not None:
        with Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as redis:
            tell_keys_changed(redis)


def _state(row: KeyRow) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.is_expired else "live"
