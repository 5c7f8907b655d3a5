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

LEAST_SPREAD = 1e-6


def read_npz(file: Path, needed: tuple[str, ...], possible: tuple[str, ...] = ()) -> Arrays:
    """The arrays of a file by name; nothing in it is unpickled.

    Raises FileNotFoundError where there is no file, ValueError where it lacks an array, has an
    unknown one, or cannot be read.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: expected an .npz file")
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{file}: expected an .npz file, got something else")
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as read:
            arrays = {name: read[name] for name in read.files}
    except UNREADABLE as fault:
        raise ValueError(f"{file} cannot be read: {fault}") from fault
    if not set(needed) <= set(arrays) <= {*needed, *possible}:
        also = f" and perhaps {', '.join(possible)}" if possible else ""
        got = ", ".join(sorted(arrays)) or "none"
        raise ValueError(f"{file}: expected the arrays {', '.join(needed)}{also}, got {got}")
    return arrays


def read_floats(array: NDArray[Any], name: str) -> NDArray[np.float32]:
    """The numbers as float32. Raises ValueError for other types and for what is not finite."""
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected numbers, got the type {array.dtype}")
    with np.errstate(over="ignore"):
        floats = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(floats).all():
        place = np.argwhere(~np.isfinite(floats))[0].tolist()
        raise ValueError(f"{name}: expected finite float32 numbers, got another at {place}")
    return floats


def read_words(array: NDArray[Any], name: str, length: int) -> list[str]:
    """A column of whole numbers or strings, as strings. Raises ValueError for anything else."""
    if array.shape != (length,):
        raise ValueError(f"{name}: expected the shape ({length},), got {array.shape}")
    if array.dtype.kind not in "iuU":
        raise ValueError(f"{name}: expected whole numbers or strings, got the type {array.dtype}")
    return [str(value) for value in array.tolist()]


def digest_of_file(file: Path) -> str:
    """``sha256:`` and the SHA-256 of the bytes."""
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def in_classes(counts: Sequence[int], classes: Sequence[int]) -> NDArray[np.bool_]:
    """(M,) which of the examples, class after class, are of these classes."""
    return np.isin(np.repeat(np.arange(len(counts)), counts), classes)


def notice_spread(x: NDArray[np.float32]) -> Noticed:
    """Mean and deviation of each number of the inputs x (M, …).

    A number that hardly differs is set beside the deviation of all, so that its noise stays small.
    """
    flat = x.reshape(len(x), -1).astype(np.float64)
    centre, each = flat.mean(axis=0), flat.std(axis=0)
    whole = float(np.sqrt(np.mean(each**2))) or 1.0
    scale = np.where(each > LEAST_SPREAD * np.maximum(np.abs(centre), whole), each, whole)
    return Noticed(centre=_short(centre), scale=_short(scale))


def _short(numbers: NDArray[np.float64]) -> tuple[float, ...]:
    """As few digits as tell each float32 from its neighbours."""
    return tuple(float(str(np.float32(number))) for number in numbers)
