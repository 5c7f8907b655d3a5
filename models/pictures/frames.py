"""A frame around a drawing: dark surroundings, a screenshot's border, a figure's margin.

A sheet is (h, w) float32. This file knows NumPy only.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.pictures.sheets import Sheet

EVEN = 0.95  # of the outermost pixels: then they are of one level
SOFT_PX = 1  # of a frame's inner edge, which is of neither level


def without_frame(grey: Sheet) -> Sheet:
    """The grey levels, a frame around them in those of the ground within it; as they are where
    there is no frame, or nothing in it.
    """
    half = np.ptp(grey) / 2
    frame = np.median(ring_of(grey))
    apart = np.abs(grey - frame) > half
    if ring_of(apart).mean() > 1 - EVEN or not apart.any():
        return grey
    rows, columns = (np.flatnonzero(apart.any(axis=axis)) for axis in (1, 0))
    within = np.s_[
        rows[0] + SOFT_PX : rows[-1] + 1 - SOFT_PX,
        columns[0] + SOFT_PX : columns[-1] + 1 - SOFT_PX,
    ]
    inside, ground = grey[within], np.median(grey[within]) if grey[within].size else frame
    drawn = np.abs(inside - ground) > half
    if abs(ground - frame) <= half or ring_of(drawn).mean() > 1 - EVEN or not drawn.any():
        return grey
    framed = np.full_like(grey, ground)
    framed[within] = inside
    return framed


def ring_of(sheet: NDArray[Any]) -> NDArray[Any]:
    """The outermost pixels."""
    return np.concatenate([sheet[0], sheet[-1], sheet[1:-1, 0], sheet[1:-1, -1]])
