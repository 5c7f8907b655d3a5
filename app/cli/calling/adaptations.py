"""``fewstep adaptations``: those of a running service, listed, changed, followed and taken home."""

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.calling.calling import (
    AdaptationId,
    AsJson,
    Key,
    Url,
    calling,
    tell,
    tell_all,
    write,
)

if TYPE_CHECKING:
    from fewstep_client import Adaptation

adaptations = typer.Typer(no_args_is_help=True, help="Adaptations of a running service.")
COLUMNS = {
    "id": "id",
    "status": "status",
    "checkpoint": "checkpoint.name",
    "name": "name",
    "created": "created_at",
    "expires": "expires_at",
}
Tags = Annotated[list[str] | None, typer.Option("--metadata", help="key=value; again for more.")]


@adaptations.command("list")
def show_all(
    status: Annotated[str | None, typer.Option(help="Only those that stand so.")] = None,
    checkpoint: Annotated[str | None, typer.Option(help="Only those of it.")] = None,
    metadata: Tags = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 1000,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Lists adaptations, newest first."""
    with calling(url, key) as client:
        found = client.list(status=status, checkpoint=checkpoint, metadata=_pairs(metadata))
        raws = (one.raw for one in islice(found, limit))
        tell_all(raws, COLUMNS, as_json=as_json)


@adaptations.command("show")
def show(
    adaptation: AdaptationId, url: Url = None, key: Key = None, as_json: AsJson = False
) -> None:
    """Shows one as it stands."""
    with calling(url, key) as client:
        _tell(client.get(adaptation), as_json=as_json)


@adaptations.command("wait")
def wait(
    adaptation: AdaptationId,
    seconds: Annotated[float, typer.Option(min=0, help="How long at most.")] = 3600,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Waits until one has ended; ends with code 1 where it has no result."""
    with calling(url, key) as client:
        found = client.get(adaptation, wait_s=seconds)
    _tell(found, as_json=as_json)
    if found.status != "succeeded":
        raise typer.Exit(1)


@adaptations.command("update")
def update(
    adaptation: AdaptationId,
    name: Annotated[str | None, typer.Option(help="Another name; '' for none.")] = None,
    metadata: Tags = None,
    ttl_seconds: Annotated[
        int | None, typer.Option(min=0, help="Seconds from now on; 0: for ever.")
    ] = None,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Renames one, gives it other metadata or another time to live."""
    changes: dict[str, object] = {} if name is None else {"name": name or None}
    changes |= {} if metadata is None else {"metadata": _pairs(metadata)}
    changes |= {} if ttl_seconds is None else {"ttl_seconds": ttl_seconds or None}
    with calling(url, key) as client:
        _tell(client.update(adaptation, **changes), as_json=as_json)


@adaptations.command("cancel")
def cancel(
    adaptation: AdaptationId, url: Url = None, key: Key = None, as_json: AsJson = False
) -> None:
    """Stops one that is queued or running."""
    with calling(url, key) as client:
        _tell(client.cancel(adaptation), as_json=as_json)


@adaptations.command("delete")
def delete(
    adaptations: Annotated[list[str], typer.Argument(metavar="ID...", help="ad_…")],
    url: Url = None,
    key: Key = None,
) -> None:
    """Deletes one or several for good."""
    with calling(url, key) as client:
        for one in adaptations:
            client.delete(one)
            typer.echo(f"{one}  deleted", err=True)


@adaptations.command("events")
def events(
    adaptation: AdaptationId,
    follow: Annotated[bool, typer.Option(help="Go on until it has ended.")] = False,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Tells what happened to one, or what happens."""
    with calling(url, key) as client:
        for event in client.follow(adaptation) if follow else client.events(adaptation):
            words = f"{event['at']}  {event['type']}  {json.dumps(event['detail'])}"
            tell(event, as_json=as_json, words=words)


@adaptations.command("export")
def export(
    adaptation: AdaptationId,
    to: Annotated[Path, typer.Argument(help="A .safetensors, .npz or .onnx file to write.")],
    url: Url = None,
    key: Key = None,
) -> None:
    """Takes the adapted parameters home; the file's name says in which form."""
    with calling(url, key) as client:
        wanted = to.suffix.removeprefix(".") or "safetensors"
        write(client.parameters(adaptation, format=wanted), to)


def _tell(found: "Adaptation", *, as_json: bool) -> None:
    error = found.raw["error"]
    why = "" if error is None else f"  {error['code']}: {error['detail']}"
    tell(found.raw, as_json=as_json, words=f"{found.id}  {found.status}{why}")


def _pairs(given: list[str] | None) -> dict[str, str]:
    """Raises ValueError."""
    split = [one.partition("=") for one in given or []]
    if any(not equals for _, equals, _ in split):
        raise ValueError("--metadata: expected key=value")
    return {name: value for name, _, value in split}
