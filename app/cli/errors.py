"""What a person can mend is said in one line, without a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def in_one_line(*mendable: type[Exception]) -> Iterator[None]:
    """Ends the command with exit code 2 and one line where the block raises one of these."""
    try:
        yield
    except mendable as error:
        typer.echo(f"fewstep: {error}", err=True)
        raise typer.Exit(2) from None
