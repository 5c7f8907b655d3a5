"""One clean drawing, dark on white, as people send it: each way is a function of the drawing and a
random generator.
"""

import base64
import io
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from benchmarks.phone import PAPERS, photograph

Alter = Callable[[Image.Image, np.random.Generator], Image.Image]

COLOURS = ((255, 255, 255), (250, 240, 90), (20, 20, 160))


def as_it_is(drawing: Image.Image, random: np.random.Generator) -> Image.Image:
    return drawing


def white_on_black(drawing: Image.Image, random: np.random.Generator) -> Image.Image:
    return ImageOps.invert(drawing)


def transparent(drawing: Image.Image, random: np.random.Generator) -> Image.Image:
    """White, yellow or blue ink on a canvas that is seen through."""
    canvas = Image.new("RGBA", drawing.size, (*COLOURS[random.integers(len(COLOURS))], 0))
    canvas.putalpha(ImageOps.invert(drawing))
    return canvas


def in_a_corner(drawing: Image.Image, random: np.random.Generator) -> Image.Image:
    side = int(random.integers(60, 110))
    canvas = Image.new("L", (400, 400), 255)
    place = (int(random.integers(2)) * (396 - side), int(random.integers(2)) * (396 - side))
    canvas.paste(drawing.resize((side, side), Image.Resampling.LANCZOS), place)
    return canvas


def a_strip(drawing: Image.Image, random: np.random.Generator) -> Image.Image:
    """Tall or wide, the drawing somewhere along it."""
    along, is_tall = int(random.integers(490)), bool(random.integers(2))
    canvas = Image.new("L", (110, 600) if is_tall else (600, 110), 255)
    canvas.paste(drawing, (2, along) if is_tall else (along, 2))
    return canvas


def of_any_size(drawing: Image.Image, random: np.random.Generator) -> Image.Image:
    return in_a_corner(drawing, random) if random.random() < 0.5 else drawing


def thin_and_light_on_dark(drawing: Image.Image, random: np.random.Generator) -> Image.Image:
    large = drawing.resize((420, 420), Image.Resampling.LANCZOS).filter(ImageFilter.MaxFilter(7))
    return ImageOps.colorize(large, (230, 230, 240), (15, 20, 60)).convert("L")


def photographed(papers: Sequence[str] = tuple(PAPERS)) -> Alter:
    """By a phone, on one of these papers."""
    return partial(photograph, papers=papers)


WAYS: dict[str, Alter] = {
    "as they are": as_it_is,
    "white on black": white_on_black,
    "transparent": transparent,
    "small in a corner": in_a_corner,
    "a strip": a_strip,
    "of any size": of_any_size,
    "thin and light on dark": thin_and_light_on_dark,
}


def nonsense(what: str, random: np.random.Generator) -> Image.Image:
    """``blank``, ``black``, ``noise`` or ``a scribble``: no drawing of any class."""
    if what in ("blank", "black"):
        return Image.new("L", (105, 105), 255 if what == "blank" else 0)
    if what == "noise":
        return Image.fromarray(random.integers(0, 256, (105, 105), np.uint8))
    walk = np.cumsum(random.normal(0, 5, (400, 2)), axis=0)
    walk = (walk - walk.min(axis=0)) / np.ptp(walk, axis=0) * 90 + 7
    sheet = np.full((105, 105), 255, np.uint8)
    sheet[tuple(np.rint(walk).astype(int).T)] = 0
    return Image.fromarray(sheet)


NONSENSE = ("blank", "black", "noise", "a scribble")


def data_url(picture: Image.Image) -> str:
    """A JPEG where it is in colour, as photographs are; else a PNG."""
    kind = "jpeg" if picture.mode == "RGB" else "png"
    file = io.BytesIO()
    picture.save(file, kind)
    return f"data:image/{kind};base64," + base64.urlsafe_b64encode(file.getvalue()).decode()
