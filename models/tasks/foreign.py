"""What else than numbers and names may lie in an .npz file, and what to do about it.

An array of objects is a pickle, told by its header: to read one is to run it, and even one of
NumPy's own types alone may name any place in memory.
"""

import zipfile
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

AS_NUMBERS: Final = {
    "b": "{0}.astype(float)",
    "c": "two numbers for one, np.stack([{0}.real, {0}.imag], axis=-1)",
    "M": "the time since an origin, ({0} - {0}.min()) / np.timedelta64(1, 's')",
    "m": "the time as a number, {0} / np.timedelta64(1, 's')",
    "S": "{0}.astype(float) if they are numbers, names as categories (examples, columns)",
    "U": "{0}.astype(float) if they are numbers, names as categories (examples, columns)",
    "V": "np.lib.recfunctions.structured_to_unstructured({0})",
}
OBJECTS: Final = (
    "{0}: got Python objects; save {0}.astype(float) with np.nan where a number is missing, "
    "{0}.astype(str) if they are names, np.stack({0}) if they are rows, all of one length"
)


def objects_in_words(file: Path) -> str | None:
    """What to do about the first array of objects in an .npz file, None where it has none."""
    with zipfile.ZipFile(file) as archive:
        for member in archive.namelist():
            with archive.open(member) as opened:
                if _is_of_objects(opened):
                    return OBJECTS.format(member.removesuffix(".npy"))
    return None


def numbers_instead(name: str, dtype: np.dtype[Any]) -> str:
    """How an array of another type becomes one of numbers."""
    return AS_NUMBERS.get(dtype.kind, "{0}.astype(float)").format(name)


def names_instead(name: str, dtype: np.dtype[Any]) -> str:
    """How an array of another type becomes one of names."""
    return f"{name}.astype(int)" if dtype.kind == "f" else f"{name}.astype(str)"


def _is_of_objects(opened: IO[bytes]) -> bool:
    """Whether an .npy file is one, which is then read up to the end of its header."""
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        _, _, dtype = read[np.lib.format.read_magic(opened)](opened)
    except (KeyError, ValueError):  # whoever reads the arrays says so
        return False
    return bool(dtype.hasobject)
