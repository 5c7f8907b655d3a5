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
        typer.echo(f"fewstep: {_in_words(error)}", err=True)
        raise typer.Exit(2) from None


def _in_words(error: Exception) -> str:
    """An error of the system's begins with the file, not with a number."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}"
    return str(error)
