"""Arrays of numbers in one .npz file, checked before anything is made of them."""

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.episodes import Noticed
from models.tasks.cache import UNREADABLE, Arrays
from models.tasks.foreign import names_instead, numbers_instead, objects_in_words

# What deviates less is noise: of float32 beside a number's size, of float64 beside all others.
LEAST_SPREAD, LEAST_BESIDE = 1e-7, 1e-13


def read_npz(file: Path, needed: tuple[str, ...], possible: tuple[str, ...] = ()) -> Arrays:
    """The arrays of a file by name; arrays of objects are refused.

    Raises FileNotFoundError where there is no file, ValueError where it lacks an array, has an
    unknown one, or cannot be read.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: expected an .npz file")
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{file}: expected an .npz file, got something else")
    try:
        foreign = objects_in_words(file)
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as read:
            arrays = {} if foreign else {name: read[name] for name in read.files}
    except UNREADABLE as fault:
        raise ValueError(f"{file} cannot be read: {fault}") from fault
    if foreign:
        raise ValueError(f"{file}: {foreign}")
    if not set(needed) <= set(arrays) <= {*needed, *possible}:
        also = f" and perhaps {', '.join(possible)}" if possible else ""
        got = ", ".join(sorted(arrays)) or "none"
        raise ValueError(f"{file}: expected the arrays {', '.join(needed)}{also}, got {got}")
    return arrays


def read_numbers(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Numbers within float32, of the type that they have; NaN is let through.

    Raises ValueError for another type, with what to do, and for a number beyond float32.
    """
    if array.dtype.kind not in "fiu":
        instead = numbers_instead(name, array.dtype)
        raise ValueError(f"{name}: expected numbers, got the type {array.dtype}; save {instead}")
    with np.errstate(over="ignore"):
        beyond = np.isinf(array.astype(np.float32))
    if beyond.any():
        place = np.argwhere(beyond)[0].tolist()
        raise ValueError(f"{name}: expected finite float32 numbers, got another at {place}")
    return array


def read_floats(array: NDArray[Any], name: str) -> NDArray[np.float32]:
    """The numbers as float32. Raises ValueError for other types and for what is not finite."""
    floats = np.ascontiguousarray(read_numbers(array, name), dtype=np.float32)
    if np.isnan(floats).any():
        place = np.argwhere(np.isnan(floats))[0].tolist()
        raise ValueError(f"{name}: expected finite float32 numbers, got NaN at {place}")
    return floats


def read_words(array: NDArray[Any], name: str, length: int) -> list[str]:
    """A column of whole numbers or strings, as strings. Raises ValueError for anything else."""
    if array.shape != (length,):
        raise ValueError(f"{name}: expected the shape ({length},), got {array.shape}")
    if array.dtype.kind not in "iuU":
        raise ValueError(
            f"{name}: expected whole numbers or strings, got the type {array.dtype}; save "
            f"{names_instead(name, array.dtype)}"
        )
    return [str(value) for value in array.tolist()]


def digest_of_file(file: Path) -> str:
    """``sha256:`` and the SHA-256 of the bytes."""
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def in_classes(counts: Sequence[int], classes: Sequence[int]) -> NDArray[np.bool_]:
    """(M,) which of the examples, class after class, are of these classes."""
    return np.isin(np.repeat(np.arange(len(counts)), counts), classes)


def notice_spread(x: NDArray[Any]) -> Noticed:
    """Mean and deviation of each number of the inputs x (M, …), of what is known (no NaN).

    A number that hardly differs is set beside the deviation of all, so that its noise stays small.
    Raises ValueError for a number that is known of no example.
    """
    flat = x.reshape(len(x), -1).astype(np.float64)
    unknown = np.isnan(flat).all(axis=0)
    if unknown.any():
        raise ValueError(
            f"x: expected a number in each column, got none in column {int(unknown.argmax())} of "
            "the training examples; leave it out"
        )
    centre, each = np.nanmean(flat, axis=0), np.nanstd(flat, axis=0)
    whole = float(np.sqrt(np.mean(each**2))) or 1.0
    least = np.maximum(LEAST_SPREAD * np.abs(centre), LEAST_BESIDE * whole)
    scale = np.where(each > least, each, whole)
    return Noticed(centre=_short(centre), scale=_short(scale))


def _short(numbers: NDArray[np.float64]) -> tuple[float, ...]:
    """As few digits as tell each float32 from its neighbours."""
    return tuple(float(str(np.float32(number))) for number in numbers)
