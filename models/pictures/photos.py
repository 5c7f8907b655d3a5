"""A photograph of a thing: its middle, in the proportions of the input, exposed alike.

This file knows Pillow and NumPy only.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from models.pictures.sheets import from_levels, to_levels

Planes = NDArray[np.float32]

MEAN, DEVIATION = 0.5, 0.22  # of all numbers of a picture
LEAST_DEVIATION = 0.02  # a picture of less contrast is not made much of


def input_from_photo(
    picture: Image.Image, size: Sequence[int], resampling: Image.Resampling
) -> Planes:
    """(C, H, W) float32 in [0, 1] of an L or RGB picture: cut to the middle, then its brightness
    and contrast brought to those of any other. Colours stay what they are to each other.
    """
    height, width = size
    planes = planes_of(ImageOps.fit(picture, (width, height), resampling))
    gain = DEVIATION / max(float(planes.std()), LEAST_DEVIATION)
    exposed = (planes - planes.mean()) * np.float32(gain) + np.float32(MEAN)
    return from_levels(to_levels(exposed))


def planes_of(picture: Image.Image) -> Planes:
    """(C, H, W) float32 in [0, 1] of an L or RGB picture."""
    pixels = from_levels(picture)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
