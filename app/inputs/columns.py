"""Numbers of a support set, column by column: what float32 cannot tell apart, and what drowns all
others where a network takes vectors as they are.

It knows no row and no HTTP; of the values themselves it says nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.errors import refusal
from app.inputs.support_sets import Given
from app.values.arrays import INPUT, TARGET, Arrays
from app.values.description import Description
from app.values.warnings import Warning, warning

ROUNDING: Final = 1 / 20  # of a column's deviation: then it hides what differs
JITTER: Final = 1e-13  # of a number's size: of float64's own rounding
NARROW: Final = 1e-6  # of a number's size: no wider column is hidden by rounding
FEWEST: Final = 3  # columns; of fewer one may well be all that there is to see
DOMINANT: Final = 0.9  # of the variance of all columns together
WIDE: Final = 30.0  # times the usual column's deviation
SHOWN: Final = 5


def look_at_numbers(arrays: Arrays, given: Given, about: Description) -> tuple[Warning, ...]:
    """What is to be said of a support set that was read of ``given``; of pictures nothing.

    Raises ServiceError ``validation`` where rounding to float32 hides all that differs.
    """
    if about.input.takes_pictures:
        return ()
    x, y = arrays[INPUT], arrays.get(TARGET)
    said = look_at_rounding(x, given.inputs, given.inputs_at)
    if y is not None and y.dtype == np.float32:
        said += look_at_rounding(y, given.targets or (), given.targets_at)
    standardised = bool(about.network.get("scale"))
    return (*said, *([] if standardised else look_at_spread(x, given.inputs_at)))


def look_at_rounding(x: NDArray[np.float32], given: Sequence[Any], pointer: str) -> list[Warning]:
    """Of the columns of x (S, …) those whose ``given`` numbers differ, and are one in float32."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    size, deviation = np.abs(flat).max(axis=0), flat.std(axis=0)
    narrow = np.flatnonzero((size > 0) & (deviation <= NARROW * size))
    if not len(narrow):
        return []
    exact = _exact(given, narrow)
    hidden = [int(c) for c, own in zip(narrow, exact.T, strict=True) if _is_hidden(flat[:, c], own)]
    if not hidden:
        return []
    to_do = "; subtract an origin from it, in support and queries"
    if not np.delete(deviation, hidden).any():
        detail = (
            f"expected numbers that float32 can tell apart, got different ones that are not{to_do}"
        )
        raise refusal("validation", pointer, detail)
    detail = f"{_in_words(hidden)} cannot be told apart in float32{to_do}"
    return [warning("indistinct-column", pointer, detail)]


def look_at_spread(x: NDArray[np.float32], pointer: str) -> list[Warning]:
    """Of the columns of x (S, …) those that distances see, and little beside them."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    deviation = flat.std(axis=0)
    varying = deviation[deviation > 0]
    if flat.shape[1] < FEWEST or not len(varying):
        return []
    wide = deviation > WIDE * np.median(varying)
    variance = np.square(deviation / deviation.max())
    if variance[wide].sum() <= DOMINANT * variance.sum():
        return []
    which = _in_words([int(column) for column in np.flatnonzero(wide)])
    detail = (
        f"{which} outweighs all others in distances between examples; bring the columns of support "
        "and queries to alike units, or leave it out"
    )
    return [warning("dominant-column", pointer, detail)]


def _is_hidden(rounded: NDArray[np.float64], exact: NDArray[np.float64]) -> bool:
    known = np.isfinite(exact)
    if not known.any():
        return False
    exact, rounded = exact[known], rounded[known]
    error, deviation = np.sqrt(np.square(rounded - exact).mean()), exact.std()
    return bool(error > ROUNDING * deviation and deviation > JITTER * np.abs(exact).max())


def _exact(given: Sequence[Any], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """(S, columns) the numbers as they were sent, NaN where there is none."""
    exact = np.full((len(given), len(columns)), np.nan)
    for row, example in zip(exact, given, strict=True):
        numbers = list(_numbers(example))
        row[:] = [_float(numbers[c]) if c < len(numbers) else np.nan for c in columns]
    return exact


def _float(number: Any) -> float:
    return float(number) if type(number) in (int, float) else np.nan


def _numbers(example: Any) -> Iterator[Any]:
    """What nested lists hold, in reading order."""
    if not isinstance(example, list):
        yield example
        return
    for part in example:
        yield from _numbers(part)


def _in_words(columns: Sequence[int]) -> str:
    shown = ", ".join(str(column) for column in columns[:SHOWN])
    more = f" and {len(columns) - SHOWN} more" if len(columns) > SHOWN else ""
    return f"column {shown}{more}" if len(columns) == 1 else f"each of the columns {shown}{more}"
