"""Folders of pictures that nobody has trained on: characters of random strokes, drawn by a hand
that is never quite steady.
"""

import random
from pathlib import Path

from PIL import Image, ImageDraw

SIDE_PX = 64

Points = list[tuple[float, float]]


def draw_folder(folder: Path, *, classes: int, pictures: int, seed: int = 0) -> Path:
    """The folder with a folder of PNGs for each character; the same seed, the same drawings."""
    for number in range(classes):
        below = folder / f"char{number:02}"
        below.mkdir(parents=True)
        plan = random.Random(f"{seed} {number}")
        strokes = [stroke(plan) for _ in range(plan.randint(2, 3))]
        for picture in range(pictures):
            hand = random.Random(f"{seed} {number} {picture}")
            drawing(strokes, hand).save(below / f"{picture:02}.png")
    return folder


def stroke(plan: random.Random) -> Points:
    """Two to four points in the unit square."""
    return [(plan.uniform(0.1, 0.9), plan.uniform(0.1, 0.9)) for _ in range(plan.randint(2, 4))]


def drawing(strokes: list[Points], hand: random.Random) -> Image.Image:
    """(64, 64) grey, dark strokes on white paper, each point a little off."""
    picture = Image.new("L", (SIDE_PX, SIDE_PX), 255)
    pen = ImageDraw.Draw(picture)
    across, down = hand.gauss(0, 0.03), hand.gauss(0, 0.03)
    for points in strokes:
        path = [
            (
                (x + across + hand.gauss(0, 0.015)) * SIDE_PX,
                (y + down + hand.gauss(0, 0.015)) * SIDE_PX,
            )
            for x, y in points
        ]
        pen.line(path, fill=hand.randint(0, 60), width=4, joint="curve")
    return picture
