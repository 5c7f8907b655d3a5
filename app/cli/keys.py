"""``fewstep keys``: create, list and revoke API keys."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from app.db.engine import open_engine, writing
from app.db.keys import create_key, list_keys, revoke_key
from app.db.migrating import migrate
from app.db.tenants import DEFAULT
from app.settings import load_settings

keys = typer.Typer(
    no_args_is_help=True, help="API keys. From the first one on, all requests need one."
)


@keys.command("create")
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")] = "",
    tenant: Annotated[str, typer.Option(help="Whose it is: a-z, 0-9 and _.")] = DEFAULT,
    days: Annotated[int | None, typer.Option(min=1, help="How long it lives.")] = None,
) -> None:
    """Creates a key and prints it, this once; only its hash is kept."""
    if not tenant.replace("_", "a").isalnum() or tenant != tenant.lower() or len(tenant) > 40:
        raise typer.BadParameter("expected up to 40 of a-z, 0-9 and _", param_hint="--tenant")
    url = load_settings().effective_database_url
    migrate(url)
    lifetime_s = None if days is None else days * 86_400.0
    with writing(open_engine(url)) as connection:
        secret = create_key(connection, tenant_id=tenant, name=name, lifetime_s=lifetime_s)
    typer.echo("Keep it now, it is not shown again:", err=True)
    typer.echo(secret)


@keys.command("list")
def show() -> None:
    """Lists the keys without their secrets."""
    with writing(open_engine(load_settings().effective_database_url)) as connection:
        rows = list_keys(connection)
    for row in rows:
        state = "revoked" if row.revoked_at else "live"
        typer.echo(f"{row.id}  {row.tenant_id}  {state}  since {_day(row.created_at)}  {row.name}")


@keys.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(help="key_…, as listed.")]) -> None:
    """Ends a key at once."""
    with writing(open_engine(load_settings().effective_database_url)) as connection:
        found = revoke_key(connection, key_id)
    if not found:
        typer.echo("fewstep: there is no live key of this id", err=True)
        raise typer.Exit(1)


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
