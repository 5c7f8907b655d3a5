"""Draws examples/characters/: six characters of an invented script, five drawings each.

No font and no data set stands behind them: each character is a short list of strokes, and a hand
that is never quite steady draws it. The same seed draws the same pictures.

    python examples/draw_characters.py [--out examples/characters] [--sheet sheet.png]
"""

import argparse
import math
import random
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

Point = tuple[float, float]
Stroke = tuple[Point, ...]

SIDE_PX = 105
PEN_PX = 4.6
GLYPH_PX = 62.0
OVERSAMPLING = 4
DRAWINGS = 5
SEED = 2015

# Strokes go through their points in a unit square, y downwards. A point written twice is a corner.
CHARACTERS: dict[str, tuple[Stroke, ...]] = {
    # an arch that ends in a small loop, and a bar on the ground
    "dalu": (
        (
            (0.05, 0.78),
            (0.08, 0.35),
            (0.35, 0.05),
            (0.68, 0.15),
            (0.80, 0.50),
            (0.62, 0.72),
            (0.45, 0.55),
            (0.62, 0.40),
            (0.98, 0.52),
        ),
        ((0.02, 1.00), (0.50, 0.97), (0.95, 1.00)),
    ),
    # a post with two arms that rise to the right, and a hooked foot
    "kem": (
        ((0.30, 0.00), (0.31, 0.45), (0.30, 0.80), (0.45, 1.00), (0.66, 0.93)),
        ((0.30, 0.36), (0.30, 0.36), (0.85, 0.06)),
        ((0.30, 0.66), (0.30, 0.66), (0.88, 0.40)),
    ),
    # a spiral whose tail runs out to the right
    "noshi": (
        (
            (0.55, 0.48),
            (0.44, 0.40),
            (0.38, 0.55),
            (0.55, 0.68),
            (0.78, 0.52),
            (0.70, 0.20),
            (0.40, 0.12),
            (0.12, 0.38),
            (0.20, 0.78),
            (0.55, 0.95),
            (0.98, 0.90),
        ),
    ),
    # a roof, and lightning under it
    "peru": (
        ((0.02, 0.22), (0.02, 0.22), (0.50, 0.00), (0.50, 0.00), (0.98, 0.20)),
        (
            (0.62, 0.22),
            (0.62, 0.22),
            (0.28, 0.58),
            (0.28, 0.58),
            (0.70, 0.60),
            (0.70, 0.60),
            (0.34, 1.00),
        ),
    ),
    # an egg with a bar through it, on one leg
    "tavo": (
        (
            (0.52, 0.02),
            (0.22, 0.14),
            (0.14, 0.40),
            (0.34, 0.62),
            (0.66, 0.60),
            (0.84, 0.36),
            (0.74, 0.10),
            (0.50, 0.02),
        ),
        ((0.00, 0.36), (0.45, 0.31), (1.00, 0.34)),
        ((0.50, 0.62), (0.48, 0.82), (0.36, 1.00)),
    ),
    # two bars side by side over a wave
    "zil": (
        ((0.28, 0.00), (0.30, 0.25), (0.26, 0.48)),
        ((0.68, 0.02), (0.70, 0.25), (0.67, 0.50)),
        ((0.00, 0.86), (0.18, 0.66), (0.40, 0.80), (0.60, 0.98), (0.82, 0.88), (1.00, 0.66)),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """How one drawing departs from the plan: an affine map of the unit square, then a shift."""

    turn_rad: float
    slant: float
    width: float
    height: float
    shift_px: Point


def drawing(strokes: tuple[Stroke, ...], rng: random.Random) -> Image.Image:
    """One drawing of a character: (105, 105), one bit a pixel, dark strokes on white."""
    hand = steady_hand(rng)
    side = SIDE_PX * OVERSAMPLING
    canvas = Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(canvas)
    for stroke in strokes:
        path = curve(unsteady(stroke, rng))
        draw_path(pen, [on_paper(point, hand) for point in path])
    grey = canvas.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
    return grey.point(lambda level: 255 if level >= 128 else 0).convert("1")


def steady_hand(rng: random.Random) -> Hand:
    """The turn, slant, size and place of one drawing."""
    return Hand(
        turn_rad=math.radians(rng.gauss(0, 5.0)),
        slant=rng.gauss(0, 0.09),
        width=GLYPH_PX * rng.uniform(0.82, 1.12),
        height=GLYPH_PX * rng.uniform(0.82, 1.12),
        shift_px=(rng.uniform(-7, 7), rng.uniform(-7, 7)),
    )


def unsteady(stroke: Stroke, rng: random.Random) -> Stroke:
    """The stroke moved a little as a whole and a little at every point; corners stay corners."""
    whole = (rng.gauss(0, 0.022), rng.gauss(0, 0.022))
    moved: dict[Point, Point] = {}
    for point in stroke:
        if point not in moved:
            x, y = point
            moved[point] = (
                x + whole[0] + rng.gauss(0, 0.028),
                y + whole[1] + rng.gauss(0, 0.028),
            )
    return tuple(moved[point] for point in stroke)


def curve(stroke: Stroke, *, per_span: int = 24) -> list[Point]:
    """Points along the Catmull-Rom spline through a stroke's points."""
    padded = (stroke[0], *stroke, stroke[-1])
    path: list[Point] = []
    for before, start, end, after in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        if start == end:
            continue
        for step in range(per_span + 1):
            path.append(on_spline(before, start, end, after, step / per_span))
    return path


def on_spline(before: Point, start: Point, end: Point, after: Point, t: float) -> Point:
    """The point at ``t`` in [0, 1] of the spline's span from ``start`` to ``end``."""
    x, y = (
        0.5
        * (
            2 * p1
            + (p2 - p0) * t
            + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
            + (3 * p1 - p0 - 3 * p2 + p3) * t**3
        )
        for p0, p1, p2, p3 in zip(before, start, end, after, strict=True)
    )
    return (x, y)


def on_paper(point: Point, hand: Hand) -> Point:
    """A point of the unit square in pixels of the finished picture."""
    x = (point[0] - 0.5 + hand.slant * (0.5 - point[1])) * hand.width
    y = (point[1] - 0.5) * hand.height
    cos, sin = math.cos(hand.turn_rad), math.sin(hand.turn_rad)
    centre = SIDE_PX / 2
    return (
        centre + x * cos - y * sin + hand.shift_px[0],
        centre + x * sin + y * cos + hand.shift_px[1],
    )


def draw_path(pen: ImageDraw.ImageDraw, path: list[Point]) -> None:
    """Draws a round pen's way along ``path`` (pixels of the finished picture)."""
    radius = PEN_PX * OVERSAMPLING / 2
    for across, down in path:
        x, y = across * OVERSAMPLING, down * OVERSAMPLING
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)


def contact_sheet(rows: list[list[Image.Image]]) -> Image.Image:
    """All drawings, one character a row."""
    step = SIDE_PX + 5
    sheet = Image.new("L", (step * len(rows[0]), step * len(rows)), 255)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            sheet.paste(picture.convert("L"), (column * step, row * step))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "characters")
    parser.add_argument("--sheet", type=Path, help="also write all drawings as one picture")
    arguments = parser.parse_args()
    rows = []
    for name, strokes in CHARACTERS.items():
        folder: Path = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        rng = random.Random(f"{SEED} {name}")
        rows.append([drawing(strokes, rng) for _ in range(DRAWINGS)])
        for number, picture in enumerate(rows[-1], start=1):
            picture.save(folder / f"{number:02}.png", optimize=True)
    if arguments.sheet:
        contact_sheet(rows).save(arguments.sheet)


if __name__ == "__main__":
    main()
