"""A drawing as its ink alone: 1 where something was drawn, 0 on the ground, whatever their colours;
cropped to the ink, in the middle, its strokes of one width.

This file knows Pillow and NumPy only.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.pictures.frames import ring_of, without_frame
from models.pictures.paper import (
    Contrast,
    flatten,
    keep_strokes,
    without_dust,
    without_grain,
)
from models.pictures.sheets import Levels, Sheet, from_levels, resized, to_levels

MARGIN = 1 / 7  # of a side, beyond the longer side of what is drawn
STROKE = 1 / 16  # of a side: about what Omniglot's are once they are cropped
FINER = 4  # times the input's size: where strokes are given their width
LARGEST_PX = 320  # of a side; what is larger is made smaller first
TOO_SMALL_PX = 64  # a drawing of so few of these pixels is looked at again in the whole picture
DRAWN = 0.3  # of the darkest ink: what the crop goes by
COLOUR_SAYS = 3  # times more contrast in one colour than in grey: then it is looked at alone
FAINTEST = 0.04  # of the way from black to white: less contrast is none
GREY = 0.12  # of the darkest ink: less is the ground
LIGHT_ENOUGH = 0.35  # of the outermost pixels: then they are the ground, as dark ink is usual
MOST_EATEN = 0.2  # of a stroke's width, from either side


def ink_of_picture(
    picture: Image.Image, size: tuple[int, int], *, stroke: float = STROKE, on_paper: bool
) -> Sheet:
    """(height, width) ink in [0, 1], in steps of 1/255; all 0 where nothing was drawn.

    stroke: the width that strokes get, of the shorter side; on_paper: the ground may be paper under
    uneven light, with grain and specks (``models/pictures/paper.py``).
    """
    placed = _placed_ink(picture, size, on_paper=on_paper)
    if placed is None:
        return np.zeros(size, np.float32)
    drawn = _with_strokes(placed, stroke * min(placed.shape))
    return from_levels(to_levels(resized(drawn, size[1], size[0], Image.Resampling.BOX)))


def stroke_of_picture(
    picture: Image.Image, size: tuple[int, int], *, on_paper: bool
) -> float | None:
    """How wide the strokes would be if they were left as they are, of the shorter side; None where
    nothing is drawn.
    """
    placed = _placed_ink(picture, size, on_paper=on_paper)
    return None if placed is None else stroke_width(placed) / min(placed.shape)


def _placed_ink(picture: Image.Image, size: tuple[int, int], *, on_paper: bool) -> Sheet | None:
    """The ink in the middle of a sheet ``FINER`` times as large as the input; None without any."""
    small = _at_most(picture, LARGEST_PX)
    ink, box = _inked(small, on_paper=on_paper)
    if box is not None and small.size != picture.size and max(box.height, box.width) < TOO_SMALL_PX:
        near = _at_most(picture.crop(box.around(picture.size, small.size)), LARGEST_PX)
        ink, box = _inked(near, on_paper=on_paper)
    if box is None:
        return None
    height, width = (FINER * side for side in size)
    return _placed(ink[box.slices], height, width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Rows and columns of a sheet, the ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def around(
        self, size: tuple[int, int], looked_at: tuple[int, int]
    ) -> tuple[int, int, int, int]:
        """The same place with as much again on every side, in the picture that was made smaller."""
        more, scale = max(self.height, self.width), size[0] / looked_at[0]
        sides = (self.left - more, self.top - more, self.right + more, self.bottom + more)
        left, top, right, bottom = (round(side * scale) for side in sides)
        return max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])


def grey_of(picture: Image.Image) -> Sheet:
    """Grey levels in [0, 1]. What is transparent shows white, or black where only that shows what
    was drawn.
    """
    if not picture.has_transparency_data:
        return _grey_or_colour(picture)
    overlay = picture.convert("RGBA")
    papers = (Image.new("RGBA", overlay.size, (level,) * 3 + (255,)) for level in (255, 0))
    white, black = (
        from_levels(Image.alpha_composite(paper, overlay).convert("L")) for paper in papers
    )
    return black if np.ptp(black) > 2 * np.ptp(white) else white


def _grey_or_colour(picture: Image.Image) -> Sheet:
    """Grey levels, or red, green or blue where ink and ground are told apart by it alone."""
    grey = from_levels(picture.convert("L"))
    if picture.mode in ("1", "L", "LA"):
        return grey
    colours = from_levels(picture.convert("RGB"))
    contrast = np.ptp(colours, axis=(0, 1))
    return colours[..., contrast.argmax()] if contrast.max() > COLOUR_SAYS * np.ptp(grey) else grey


def contrast_of(grey: Sheet) -> Contrast:
    """How far each pixel is from an even ground, the usual level of the outermost pixels; where
    about as many of these are dark, light.
    """
    ring = ring_of(grey)
    light = ring > (float(grey.min()) + float(grey.max())) / 2
    ground = ring[light] if light.mean() >= LIGHT_ENOUGH else ring[~light]
    return Contrast.towards_ink(float(np.median(ground)) - grey)


def _inked(picture: Image.Image, *, on_paper: bool) -> tuple[Sheet, Box | None]:
    """The ink in [0, 1], and where it is; None where there is none."""
    grey = without_frame(grey_of(picture))
    found = contrast_of(grey)
    if on_paper and (uneven := flatten(grey)) is not None:
        found = flatten(without_grain(grey)) or uneven
    if found.darkest < max(FAINTEST, 5 * found.grain):
        return grey, None
    ink = found.ink(GREY)
    if found.grain:
        ink = keep_strokes(ink)
    elif _is_in_pieces(ink):
        ink = without_dust(ink)
    rows, columns = (np.flatnonzero((ink > DRAWN).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return ink, None
    sides = (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
    return ink, Box(top=sides[0], bottom=sides[1], left=sides[2], right=sides[3])


def _is_in_pieces(ink: Sheet) -> bool:
    """Whether rows or columns without ink lie between others, as they do beside a far speck."""
    drawn = ink > DRAWN
    places = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
    return any(len(some) and some[-1] - some[0] >= len(some) for some in places)


def _at_most(picture: Image.Image, side: int) -> Image.Image:
    if max(picture.size) <= side:
        return picture
    see_through, is_grey = picture.has_transparency_data, picture.mode in ("1", "L")
    plain = picture.convert("RGBA" if see_through else "L" if is_grey else "RGB")
    scale = side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    return plain.resize((width, height), Image.Resampling.BOX)


def _placed(ink: Sheet, height: int, width: int) -> Sheet:
    """The ink in the middle of a larger sheet, in its own proportions."""
    inside = (round(side * (1 - 2 * MARGIN)) for side in (height, width))
    scale = min(room / length for room, length in zip(inside, ink.shape, strict=True))
    around = -(-max(ink.shape) // 8)  # a filter needs the ground beyond the edge
    padded = np.zeros([length + 2 * around for length in ink.shape], np.float32)
    padded[around : around + ink.shape[0], around : around + ink.shape[1]] = ink
    tall, wide = (max(1, round(length * scale)) for length in padded.shape)
    filter_ = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX
    scaled = resized(padded, wide, tall, filter_).clip(0, 1)
    usual = float(np.square(scaled).sum() / max(float(scaled.sum()), 1e-6))  # hairlines turn grey
    scaled = (scaled / np.float32(usual)).clip(0, 1)
    sheet = np.zeros((max(height, tall), max(width, wide)), np.float32)
    top, left = (sheet.shape[0] - tall) // 2, (sheet.shape[1] - wide) // 2
    sheet[top : top + tall, left : left + wide] = scaled
    top, left = (sheet.shape[0] - height) // 2, (sheet.shape[1] - width) // 2
    return sheet[top : top + height, left : left + width]


def _with_strokes(ink: Sheet, wanted: float) -> Sheet:
    """The ink with strokes of about the width that is wanted, in pixels."""
    width = stroke_width(ink)
    each_side = max((wanted - width) / 2, -MOST_EATEN * width)
    pick = np.maximum if each_side > 0 else np.minimum
    whole, part = divmod(abs(each_side), 1)
    grown = to_levels(ink)
    for _ in range(int(whole)):
        grown = of_neighbours(grown, pick)
    last = of_neighbours(grown, pick).astype(np.float32)
    blended = np.trunc(grown + np.float32(part) * (last - grown))
    return np.asarray(blended / np.float32(255), np.float32)


def of_neighbours(levels: Levels, pick: np.ufunc) -> Levels:
    """The largest, or smallest, of each pixel and its neighbours; Pillow's filters are slow."""
    rows = levels.copy()
    pick(rows[1:], levels[:-1], out=rows[1:])
    pick(rows[:-1], levels[1:], out=rows[:-1])
    both = rows.copy()
    pick(both[:, 1:], rows[:, :-1], out=both[:, 1:])
    pick(both[:, :-1], rows[:, 1:], out=both[:, :-1])
    return both


def stroke_width(ink: Sheet) -> float:
    """In pixels: twice the area by the length of the outline, which is the sum of all gradients."""
    down, across = np.diff(ink, axis=0)[:, :-1], np.diff(ink, axis=1)[:-1]
    outline = float(np.sqrt(down * down + across * across).sum())
    return 2 * float(ink.sum()) / max(outline, 1e-6)
