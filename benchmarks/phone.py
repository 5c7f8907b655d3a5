"""Drawings as a phone sees them on paper: uneven light, coloured ink, a tilt, grain, JPEG.

Drawn by Pillow and NumPy alone, on papers that are named by whoever asks.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

PAPERS = {
    "white": (245, 245, 245),
    "cream": (240, 228, 200),
    "grey": (200, 200, 205),
    "recycled": (205, 198, 180),
    "bluish": (215, 225, 240),
    "yellow": (250, 235, 130),
}
INKS = ((30, 40, 130), (25, 25, 30), (60, 60, 66), (20, 90, 60), (150, 25, 30))
RULES = np.array([0.75, 0.82, 0.95], np.float32)

Plane = NDArray[np.float32]


def photograph(
    drawing: Image.Image,
    random: np.random.Generator,
    *,
    papers: Sequence[str] = tuple(PAPERS),
    ruled: float = 0.0,
) -> Image.Image:
    """A photograph of a dark drawing on white; ruled: the share of papers with lines."""
    width = int(random.integers(300, 900))
    height = int(width * random.uniform(0.75, 1.33))
    ink = _inked(drawing, width, height, random)
    paper = np.array(PAPERS[papers[random.integers(len(papers))]], np.float32)
    sheet = paper * (1 + 0.012 * _clouds(random, height, width, width // 4))[..., None]
    if random.random() < ruled:
        lines = np.arange(height) % max(12, height // 14) < 2
        sheet = np.where(lines[:, None, None], sheet * RULES, sheet)
    pen = np.array(INKS[random.integers(len(INKS))], np.float32)
    sheet = sheet * (1 - ink[..., None]) + pen * ink[..., None]
    warmth = np.array([1, random.uniform(0.92, 1), random.uniform(0.8, 1)], np.float32)
    lit = _image(sheet * _light(random, height, width)[..., None] * warmth)
    soft = lit.filter(ImageFilter.GaussianBlur(random.uniform(0, width / 400)))
    grain = random.standard_normal((height, width, 3)) * random.uniform(2, 9)
    return _compressed(_image(np.asarray(soft, np.float32) + grain), quality=60)


def _inked(drawing: Image.Image, width: int, height: int, random: np.random.Generator) -> Plane:
    """(height, width) how much of a pen's ink is where, somewhere on the sheet."""
    side = round(random.uniform(0.4, 0.8) * min(height, width))
    dark = Image.eval(drawing.convert("L"), lambda level: 255 - level)
    large = dark.resize((side, side), Image.Resampling.BICUBIC)
    soft = large.filter(ImageFilter.GaussianBlur(side / 150))
    tilted = soft.rotate(random.uniform(-8, 8), Image.Resampling.BICUBIC, expand=True)
    sheet = Image.new("L", (width, height), 0)
    room = (max(1, width - tilted.width), max(1, height - tilted.height))
    sheet.paste(tilted, (int(random.integers(room[0])), int(random.integers(room[1]))))
    ink = np.clip((np.asarray(sheet, np.float32) / 255 - 0.25) / 0.5, 0, 1)
    pressed = (1 + 0.12 * _clouds(random, height, width, width // 6)).clip(0.5, 1)
    return np.asarray(ink * pressed * random.uniform(0.7, 1), np.float32)


def _light(random: np.random.Generator, height: int, width: int) -> Plane:
    """(height, width) a gradient, darker corners, and now and then a shadow with a soft edge."""
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    down, across = down / height - 0.5, across / width - 0.5
    angle = random.uniform(0, 2 * np.pi)
    along = np.cos(angle) * across + np.sin(angle) * down
    light = random.uniform(0.55, 0.95) + random.uniform(0.1, 0.45) * along
    light = light - random.uniform(0, 0.4) * (across**2 + down**2)
    if random.random() < 0.4:
        edge = np.cos(angle + 1) * across + np.sin(angle + 1) * down - random.uniform(-0.4, 0.4)
        shade = 1 / (1 + np.exp(-(edge / random.uniform(0.02, 0.15)).clip(-30, 30)))
        light = light * (1 - random.uniform(0.15, 0.4) * shade)
    return np.asarray(light, np.float32)


def _clouds(random: np.random.Generator, height: int, width: int, cells: int) -> Plane:
    coarse = random.standard_normal((cells + 2, cells + 2)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _image(levels: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.rint(levels.clip(0, 255)).astype(np.uint8))


def _compressed(picture: Image.Image, *, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue()))
