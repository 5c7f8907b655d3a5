"""Paper under uneven light: its ground made even, its grain taken away, its specks left out.

This file knows Pillow and NumPy only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from models.pictures.sheets import Sheet, from_levels, resized, to_levels

SMALLEST_PX = 48  # of the shorter side: below it a picture is a drawing, no photograph of one
BORDER = 1 / 20  # of the shorter side: where the ground is looked at
UNEVEN = 0.05  # of the contrast: between the darker and the lighter parts of the border's ground
FULL_CONTRAST = 0.4
OF_ALL = 0.1  # of the border: fewer pixels are no ground
GRAIN_SEEN = 0.002  # grey levels of noise that a drawing on a screen does not have
LEAST_GRAIN = 0.008  # what paper is taken to have
COARSE_PX = 48  # of the longer side: where the ground is estimated
WINDOW = 13  # of these pixels; more than any stroke is wide
DARKEST = 5e-4  # share of the pixels that are as dark as ink gets
ON_PAPER, FULL = 0.3, 0.55  # of the darkest ink: where ink begins on paper, and where it is all ink
PIECES_PX = 96  # of the longer side: where connected strokes are told from specks
SPECK = 0.03  # of the ink of the largest piece
DUST = 0.01  # the same of a drawing on a screen, which has dots of its own
INSIDE = 0.3  # of all ink: enough to leave out what comes in from the picture's edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """apart: how far each pixel is from the ground towards the ink; darkest: of the ink; grain: the
    deviation of the ground's noise, 0 for a drawing on a screen.
    """

    apart: Sheet
    darkest: float
    grain: float

    @staticmethod
    def towards_ink(apart: Sheet, *, grain: float = 0.0) -> "Contrast":
        """Of the signed distances to the ground: ink is what stands out most, darker or lighter."""
        if float((apart * apart * apart).sum()) < 0:
            apart = -apart
        darkest = np.quantile(apart, 1 - DARKEST) if grain else apart.max()
        return Contrast(apart=apart, darkest=float(darkest), grain=grain)

    def ink(self, grey: float) -> Sheet:
        """The ink in [0, 1]: all shades above ``grey`` of a clean drawing, hardly any on paper."""
        share = self.apart / np.float32(self.darkest)
        if not self.grain:
            return ((share - grey) / np.float32(1 - grey)).clip(0, 1)
        least = max(ON_PAPER, 4 * self.grain / self.darkest)
        return ((share - least) / np.float32(FULL - ON_PAPER)).clip(0, 1)


def flatten(grey: Sheet) -> Contrast | None:
    """The contrast to the ground nearby; None where the ground is even and without grain."""
    if min(grey.shape) < SMALLEST_PX:
        return None
    grain = _grain(grey)
    if grain <= GRAIN_SEEN and not _is_uneven(_border(grey), float(np.ptp(grey))):
        return None
    ground = _ground(grey)
    apart = np.asarray((ground - grey) / np.maximum(ground, np.float32(0.1)), np.float32)
    return Contrast.towards_ink(apart, grain=max(grain, LEAST_GRAIN))


def without_grain(grey: Sheet) -> Sheet:
    """The median of each pixel and its neighbours."""
    return from_levels(Image.fromarray(to_levels(grey)).filter(ImageFilter.MedianFilter(3)))


def keep_strokes(ink: Sheet) -> Sheet:
    """The ink without specks, and without what comes in from outside where most ink does not."""
    places, mass = _pieces(ink)
    kept = mass >= SPECK * mass.max()
    edge = (places[0], places[-1], places[:, 0], places[:, -1])
    outside = np.isin(np.arange(len(mass)), np.concatenate(edge))
    if mass[kept & ~outside].sum() > INSIDE * mass.sum():
        kept &= ~outside
    return _of_pieces(ink, kept & (mass > 0), places)


def without_dust(ink: Sheet) -> Sheet:
    """The ink of a drawing on a screen without specks."""
    places, mass = _pieces(ink)
    return _of_pieces(ink, mass >= max(DUST * mass.max(), 1e-6), places)


def _pieces(ink: Sheet) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The number of each pixel's piece on a coarse sheet, and each piece's ink, 0 of the ground."""
    coarse = _shrunk(ink, PIECES_PX)
    places = connected(coarse > 0.1)
    mass = np.asarray(np.bincount(places.ravel(), weights=coarse.ravel()), np.float64)
    mass[0] = 0
    return places, mass


def _of_pieces(ink: Sheet, kept: NDArray[np.bool_], places: NDArray[np.int64]) -> Sheet:
    shown = Image.fromarray(to_levels(kept[places].astype(np.float32)))
    near = shown.resize((ink.shape[1], ink.shape[0]), Image.Resampling.BILINEAR)
    return np.where(from_levels(near) > 0, ink, np.float32(0))


def connected(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """A number from 1 on for each piece of (h, w) pixels that hang together, by corners too; 0
    outside.

    Runs of a row are united with those of the row before that they touch (Rosenfeld and Pfaltz
    1966, on runs): there are far fewer of them than pixels.
    """
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    (rows, starts), (_, ends) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    piece_of = _united(rows.tolist(), starts.tolist(), ends.tolist())
    _, numbers = np.unique(piece_of, return_inverse=True)
    found = np.zeros(mask.shape, np.int64)
    found[mask] = np.repeat(numbers + 1, ends - starts)
    return found


def _united(rows: list[int], starts: list[int], ends: list[int]) -> list[int]:
    """For each run the number of a run of its piece, the same for the whole piece."""
    piece_of = list(range(len(rows)))

    def find(run: int) -> int:
        while piece_of[run] != run:
            piece_of[run] = piece_of[piece_of[run]]
            run = piece_of[run]
        return run

    above = 0
    for run, row in enumerate(rows):
        while rows[above] < row - 1 or (rows[above] == row - 1 and ends[above] < starts[run]):
            above += 1
        near = above
        while near < run and rows[near] == row - 1 and starts[near] <= ends[run]:
            piece_of[find(near)] = find(run)
            near += 1
    return [find(run) for run in range(len(rows))]


def _ground(grey: Sheet) -> Sheet:
    """The median of a wide neighbourhood of each pixel."""
    coarse, edge = _shrunk(grey, COARSE_PX), WINDOW // 2
    padded = np.pad(coarse, edge, mode="reflect" if min(coarse.shape) > edge else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (WINDOW, WINDOW))
    ground = np.median(windows, axis=(2, 3)).astype(np.float32)
    return resized(ground, grey.shape[1], grey.shape[0], Image.Resampling.BILINEAR)


def _grain(grey: Sheet) -> float:
    """The deviation of the noise, by the differences of neighbours at the border, robustly."""
    band = max(2, round(BORDER * min(grey.shape)))
    parts = (grey[:band], grey[-band:], grey[:, :band].T, grey[:, -band:].T)
    apart = np.concatenate([np.diff(part, axis=1).ravel() for part in parts])
    return float(1.4826 * np.median(np.abs(apart)) / np.sqrt(2))


def _is_uneven(border: NDArray[np.float32], contrast: float) -> bool:
    """Whether the lighter or the darker pixels, ground and what touches it, are of many levels, by
    the contrast of the whole.
    """
    least = UNEVEN * min(contrast, FULL_CONTRAST)
    light = border > (float(border.min()) + float(border.max())) / 2
    halves = (half for half in (border[light], border[~light]) if len(half) > OF_ALL * len(border))
    return any(float(np.ptp(np.quantile(half, (0.15, 0.85)))) > least for half in halves)


def _border(grey: Sheet) -> NDArray[np.float32]:
    band = max(1, round(BORDER * min(grey.shape)))
    inside = np.zeros(grey.shape, np.bool_)
    inside[band:-band, band:-band] = True
    return grey[~inside]


def _shrunk(sheet: Sheet, side: int) -> Sheet:
    scale = min(1.0, side / max(sheet.shape))
    height, width = (max(1, round(length * scale)) for length in sheet.shape)
    return resized(sheet, width, height, Image.Resampling.BOX)
