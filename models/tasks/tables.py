"""Tables that people bring: numbers of which some are missing, and columns of names."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SHOWN: Final = 5  # columns in a sentence


def with_names(
    x: NDArray[Any], names: NDArray[Any] | None, known: Sequence[Sequence[str]] | None = None
) -> tuple[NDArray[Any], list[list[str]] | None]:
    """Inputs (M, D) and behind them, for names (M, C), a column for each that is known: 1 for it, 0
    for the others; and the known names of each of the C. Without names nothing changes.

    known: what a checkpoint knows, () nothing; None: what is there. Raises ValueError for names of
    another shape or type, and for one that is not known.
    """
    columns = 0 if names is None or names.ndim != 2 else names.shape[1]
    if known is not None and columns != len(known):
        expected = f"{len(known)} columns, as the checkpoint has" if known else "none"
        raise ValueError(f"categories: expected {expected}, got {columns or 'none'}")
    if names is None:
        return x, None
    if names.ndim != 2 or x.ndim != 2 or len(names) != len(x) or not names.shape[1]:
        raise ValueError(
            f"categories: expected names of the shape ({len(x)}, columns) beside x (examples, "
            f"features), got {names.shape} and {x.shape}"
        )
    if names.dtype.kind != "U":
        raise ValueError(
            f"categories: expected strings, got the type {names.dtype}; save categories.astype(str)"
        )
    of_each = known or [np.unique(column).tolist() for column in names.T]
    pairs = zip(names.T, of_each, strict=True)
    marks = [column[:, None] == np.array(of_column) for column, of_column in pairs]
    for place, mark in enumerate(marks):
        if not mark.any(axis=1).all():
            row = int(mark.any(axis=1).argmin())
            raise ValueError(
                f"categories: the checkpoint does not know the name at [{row}, {place}]"
            )
    return np.hstack([x, *marks]), [list(one) for one in of_each]


def fill_missing(
    x: NDArray[Any], means: Sequence[float] | None
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The inputs (M, …) with the mean of its column for every NaN, and what is to be said of it.

    means: of the first columns, behind which nothing is missing. Raises ValueError where there are
    none and something is missing.
    """
    flat = x.reshape(len(x), -1)
    absent = np.isnan(flat)
    if not absent.any():
        return x, ()
    if means is None:
        place = np.argwhere(absent)[0].tolist()
        raise ValueError(f"x: expected no NaN, as in training, got it at {place}; fill it in")
    mean = np.zeros(flat.shape[1], np.float32)
    mean[: len(means)] = means
    filled = np.where(absent, mean, flat)
    return filled.reshape(x.shape), (_in_words(absent.sum(axis=0), len(x)),)


def _in_words(counts: NDArray[np.intp], examples: int) -> str:
    columns = np.flatnonzero(counts)
    shown = ", ".join(
        f"{counts[column]} of {examples} in column {column}" for column in columns[:SHOWN]
    )
    rest = len(columns) - SHOWN
    more = f", and some in {rest} more columns" if rest > 0 else ""
    return (
        f"x: {shown}{more} are missing; each counts as its column's training mean, as null will "
        "when the checkpoint is served"
    )
