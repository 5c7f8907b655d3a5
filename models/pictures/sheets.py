"""A picture's numbers and its grey levels. This file knows Pillow and NumPy only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Sheet = NDArray[np.float32]  # (h, w)
Levels = NDArray[np.uint8]


def from_levels(levels: Image.Image | Levels) -> NDArray[np.float32]:
    """float32 in [0, 1] of 8-bit levels, of the same shape."""
    return np.asarray(levels, np.float32) / np.float32(255)


def to_levels(numbers: NDArray[np.floating[Any]]) -> Levels:
    """The nearest of 256 levels, 255 for 1 and above."""
    return np.asarray(np.rint(numbers * 255).clip(0, 255), np.uint8)


def resized(sheet: Sheet, width: int, height: int, filter_: Image.Resampling) -> Sheet:
    return np.asarray(Image.fromarray(sheet, mode=None).resize((width, height), filter_))
