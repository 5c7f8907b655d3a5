"""Nested lists of JSON numbers as arrays: what is a number, what is ragged, what is finite.

Written for speed without a second path for errors: each axis is looked at as a whole.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.errors import kind_of, refusal, refuse_places

FLOAT32_END: Final = 2.0**128 - 2.0**103  # the least number that float32 rounds to infinity

FILL: Final = "; fill it in, or adapt a checkpoint trained on data with missing numbers (NaN)"


def read_numbers(
    value: object, shape: tuple[int, ...], pointer: str, *, missing: Sequence[float] | None = None
) -> NDArray[np.float64]:
    """Nested lists of numbers as an array of ``shape``; a leading axis of length 1 may be missing.

    missing: what stands for a ``null``, for each number in reading order; () where a checkpoint has
    none, None where nothing could be missing. Raises ServiceError: validation, ragged-array or
    shape-mismatch.
    """
    level: list[Any] = [value]
    found: tuple[int, ...] = ()
    while set(map(type, level)) == {list}:
        lengths = set(map(len, level))
        if len(lengths) > 1:
            break
        level, found = list(chain.from_iterable(level)), (*found, *lengths)
    if missing and len(level) == len(missing):
        level = [m if x is None else x for x, m in zip(level, missing, strict=True)]
    _check_kinds(level, found, pointer, to_do="" if missing is None else FILL)
    if not _fits(found, shape):
        detail = f"expected {shape_in_words(shape)}, got {shape_in_words(found)}"
        raise refusal("shape-mismatch", pointer, detail)
    return _finite(level, found, pointer).reshape(shape)


def _check_kinds(
    level: Sequence[object], found: tuple[int, ...], pointer: str, *, to_do: str
) -> None:
    kinds = set(map(type, level))
    if kinds <= {int, float}:
        return
    if kinds <= {int, float, list}:
        detail = "expected lists of one length in each axis, got several"
        raise refusal("ragged-array", pointer, detail)
    strangers = [i for i, entry in enumerate(level) if type(entry) not in (int, float, list)]
    stranger = level[strangers[0]]
    detail = f"expected a number, got {kind_of(stranger)}{to_do if stranger is None else ''}"
    refuse_places((_place(i, found) for i in strangers), detail, pointer=pointer)


def _finite(level: Sequence[float], found: tuple[int, ...], pointer: str) -> NDArray[np.float64]:
    try:
        numbers = np.array(level, np.float64)
    except OverflowError:  # an integer beyond float64
        numbers = np.array([np.inf])
    if not (np.abs(numbers) < FLOAT32_END).all():
        beyond = (_place(i, found) for i, x in enumerate(level) if not abs(x) < FLOAT32_END)
        refuse_places(
            beyond, "expected a number finite in float32, got one that is not", pointer=pointer
        )
    return numbers


def _fits(found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return shape in (found, (1, *found)) or (found, shape) == ((1,), ())


def shape_in_words(shape: tuple[int, ...]) -> str:
    if shape in ((), (1,)):
        return "one number"
    return "numbers of shape " + "".join(f"[{length}]" for length in shape[:8])


def _place(index: int, shape: tuple[int, ...]) -> str:
    """The pointer below an example to its ``index``-th number in reading order."""
    return "/".join(map(str, np.unravel_index(index, shape))) if shape else ""
