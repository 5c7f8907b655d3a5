"""How a test says that something is refused, with which code and where."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.errors import ServiceError


@contextmanager
def refused(code: str, *pointers: str, says: str = "") -> Iterator[None]:
    """The block raises ServiceError with this code, exactly these pointers and these words."""
    with pytest.raises(ServiceError) as caught:
        yield
    error = caught.value
    assert (error.code, tuple(one.pointer for one in error.errors)) == (code, pointers)
    assert says in error.detail
    assert all("expected" in detail and ", got " in detail for detail in _details(error))


def _details(error: ServiceError) -> list[str]:
    return [one.detail for one in error.errors] or [error.detail]
