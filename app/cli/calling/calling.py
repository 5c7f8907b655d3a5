"""What the commands that call a service have in common: its address and key, JSON or words on
stdout, progress and refusals on stderr.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.errors import in_one_line

if TYPE_CHECKING:
    from fewstep_client import Client

Url = Annotated[
    str | None,
    typer.Option(envvar="FEWSTEP_URL", help="Where the service answers; unset: on this machine."),
]
Key = Annotated[
    str | None, typer.Option(envvar="FEWSTEP_KEY", help="A key, where the service needs one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, and nothing else.")]
AdaptationId = Annotated[str, typer.Argument(metavar="ID", help="ad_…, as it was told.")]

Json = Mapping[str, Any]


@contextmanager
def calling(url: str | None, key: str | None) -> Iterator["Client"]:
    """A client of the service; what it refuses is told in one line, and ends with code 2."""
    from fewstep_client import Client, FewstepError  # no other command loads it

    mendable = (FewstepError, ValueError, TypeError, OSError)
    with in_one_line(*mendable), Client(url, key) as client:
        yield client


def tell(found: Json, *, as_json: bool, words: str) -> None:
    """One resource: all of it as JSON, or what a person wants to know of it."""
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else words)


def tell_all(found: Iterable[Json], columns: Mapping[str, str], *, as_json: bool) -> None:
    """Many: a line of JSON for each as it comes; a table on a terminal, tabs elsewhere. columns:
    where each value is, by its title.
    """
    if as_json:
        for one in found:
            typer.echo(json.dumps(one, ensure_ascii=False))
        return
    rows = ([_cell(one, path) for path in columns.values()] for one in found)
    if not sys.stdout.isatty():
        for row in ([*columns], *rows):
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def write(data: bytes, to: Path) -> None:
    """A file, and where it is on stderr."""
    to.write_bytes(data)
    typer.echo(f"{to}: {len(data)} bytes", err=True)


def example_of(text: str) -> Any:
    """An example as a person types it: a picture's file, JSON, or text."""
    path = Path(text)
    if path.suffix and path.is_file():
        return path
    try:
        return json.loads(text)
    except ValueError:
        return text


def _cell(one: Json, path: str) -> str:
    found: Any = one
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    if found is None:
        return "–"
    return ", ".join(map(str, found)) if isinstance(found, list) else str(found)
