"""Compact copies of data that are slow to read, named by what they were made of."""

import os
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


def kept_arrays(file: Path | None, read: Callable[[], Arrays]) -> Arrays:
    """The arrays in the copy, else what ``read`` gives, which is kept there for the next time.

    The file's name has to change with the data. A copy that cannot be read is made anew.
    """
    found = _load(file) if file else None
    if found is not None:
        return found
    arrays = read()
    if file:
        _keep(file, arrays)
    return arrays


def _load(file: Path) -> Arrays | None:
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}
    except UNREADABLE:
        return None


def _keep(file: Path, arrays: Arrays) -> None:
    partial = file.with_suffix(f".{os.getpid()}.partial.npz")  # two runs may read the same data
    with suppress(OSError):  # a full disk, or a folder of somebody else: the data are read anyway
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(partial, allow_pickle=False, **arrays)
        partial.replace(file)
