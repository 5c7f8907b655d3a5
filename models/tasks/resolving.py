"""Whether float32, in which networks calculate and examples are served, can tell numbers apart."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ROUNDING: Final = 1 / 20  # of the deviation; as if there were some twenty different numbers
JITTER: Final = 1e-13  # of a number's size: of float64's own rounding, in what never differs


def check_resolved(numbers: NDArray[Any], name: str, group: str = "") -> None:
    """Raises ValueError where rounding to float32 hides what differs.

    numbers: (G, P, C) finite, of any type: in each of the G groups the P numbers of a column are to
    be told apart. group: what one is called, for the message.
    """
    apart, rounded = _from_origin(numbers), numbers.astype(np.float32).astype(np.float64)
    wrong = rounded - numbers.astype(np.float64)
    error, deviation = np.sqrt(np.square(wrong).mean(axis=1)), apart.std(axis=1)  # (G, C)
    least = 0.0 if numbers.dtype.kind in "iu" else JITTER * np.abs(rounded).max(axis=1)
    hidden = np.argwhere((error > ROUNDING * deviation) & (deviation > least))
    if len(hidden):
        g, column = (int(index) for index in hidden[0])
        where = f" of {group} {g}" if group else ""
        raise ValueError(_in_words(numbers[g, :, column], name, column, where))


def _from_origin(numbers: NDArray[Any]) -> NDArray[np.float64]:
    """How far the numbers of each group are from its first, whole numbers to the last digit."""
    wide = numbers.astype({"i": np.int64, "u": np.uint64}.get(numbers.dtype.kind, np.float64))
    return np.asarray(wide - wide.min(axis=1, keepdims=True), dtype=np.float64)


def _in_words(numbers: NDArray[Any], name: str, column: int, where: str) -> str:
    different, left = len(np.unique(numbers)), len(np.unique(numbers.astype(np.float32)))
    tiny = np.abs(numbers).max() < np.finfo(np.float32).tiny
    to_do = "multiply them by a power of ten" if tiny else "subtract an origin, such as the first"
    return (
        f"{name} cannot be told apart in float32: {different} different numbers in column {column}"
        f"{where} become {left}; {to_do}"
    )
