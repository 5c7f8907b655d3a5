"""From what people have to what the service takes: arrays, pictures, files, folders, numbers."""

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

PICTURES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"RIFF", "image/webp"),
)


def read_folder(folder: str | Path) -> tuple[list[Any], list[str]]:
    """Pictures and their classes, of a folder with a folder for each class. Raises ValueError where
    there are none.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"expected a folder with a folder of pictures for each class: {root}")
    classes = sorted(path for path in root.iterdir() if path.is_dir())
    found = [
        (path, one.name)
        for one in classes
        for path in sorted(one.iterdir())
        if path.suffix.lower() in PICTURES
    ]
    if not found:
        kinds = ", ".join(PICTURES)
        raise ValueError(f"expected pictures ({kinds}) in folders of {root}, got none")
    return [to_example(path) for path, _ in found], [name for _, name in found]


def to_examples(given: Any) -> list[Any]:
    """A batch of examples as JSON: an array's rows, or each of a list."""
    if isinstance(given, np.ndarray):
        return list(to_numbers(given))
    if isinstance(given, str | bytes | Path) or not isinstance(given, Iterable):
        raise TypeError("expected a list or an array of examples, got a single one")
    return [to_example(one) for one in given]


def to_example(given: Any) -> Any:
    """One example as JSON: a picture becomes a data URL, numbers become lists, text stays."""
    if isinstance(given, Path):
        return _data_url(given.read_bytes(), PICTURES.get(given.suffix.lower()))
    if isinstance(given, bytes | bytearray | memoryview):
        return _data_url(bytes(given), None)
    if isinstance(given, str | int | float) and not isinstance(given, bool):
        return given
    if isinstance(given, np.ndarray | np.generic):
        return to_numbers(np.asarray(given))
    if _is_picture(given):
        kept = io.BytesIO()
        given.save(kept, "PNG")
        return _data_url(kept.getvalue(), "image/png")
    if hasattr(given, "__array__"):  # of torch, pandas, jax
        return to_numbers(np.asarray(given))
    if isinstance(given, Sequence):
        return [to_example(one) for one in given]
    raise TypeError(
        f"expected numbers, a picture or text as an example, got {type(given).__name__}"
    )


def to_targets(given: Any) -> list[Any]:
    """Class names or numbers as JSON, whatever held them."""
    rows = given.tolist() if hasattr(given, "tolist") else list(given)
    return [row.tolist() if hasattr(row, "tolist") else row for row in rows]


def to_numbers(array: np.ndarray) -> Any:
    """The array as nested lists. Raises ValueError for numbers that JSON has not."""
    if array.dtype == object:
        return [to_example(one) for one in array]
    if not np.issubdtype(array.dtype, np.number) and array.dtype != bool:
        return array.tolist()
    numbers = array.astype(float) if array.dtype == bool else array
    if not np.isfinite(numbers).all():
        raise ValueError("expected finite numbers, got NaN or infinity")
    return numbers.tolist()


def _is_picture(given: Any) -> bool:
    return hasattr(given, "save") and hasattr(given, "mode") and hasattr(given, "size")


def _data_url(data: bytes, kind: str | None) -> str:
    found = kind or next((k for start, k in SIGNATURES if data.startswith(start)), None)
    if found is None:
        raise ValueError("expected a PNG, JPEG or WebP picture, got other bytes")
    return f"data:{found};base64,{base64.b64encode(data).decode()}"
