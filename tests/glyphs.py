"""Folders of letters and signs as fonts have them, dark on light, each a little turned."""

import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIDE_PX = 48
SIGNS = "ABDEGHKMNPQRSTWXYZ2345679&@#?%"
INSTALLED = Path("/usr/share/fonts/truetype/dejavu")


def draw_glyphs(folder: Path, *, signs: str = SIGNS, pictures: int, seed: int = 0) -> Path:
    """The folder with a folder of PNGs for each sign; the same fonts and seed, the same pictures.

    The fonts are Pillow's own and, where they are installed, those of DejaVu.
    """
    fonts = [str(file) for file in sorted(INSTALLED.glob("DejaVuS*.ttf"))]
    for number, sign in enumerate(signs):
        below = folder / f"sign{number:02}"
        below.mkdir(parents=True)
        for picture in range(pictures):
            hand = random.Random(f"{seed} {number} {picture}")
            size = hand.randint(24, 34)
            font = (
                ImageFont.truetype(hand.choice(fonts), size)
                if fonts
                else ImageFont.load_default(size=size)
            )
            glyph(sign, font, hand).save(below / f"{picture:02}.png")
    return folder


def glyph(
    sign: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, hand: random.Random
) -> Image.Image:
    """(48, 48) grey: ink of 0 to 60 on paper of 225 to 255."""
    paper, ink = hand.randint(225, 255), hand.randint(0, 60)
    picture = Image.new("L", (SIDE_PX, SIDE_PX), paper)
    middle = (SIDE_PX / 2 + hand.uniform(-4, 4), SIDE_PX / 2 + hand.uniform(-4, 4))
    ImageDraw.Draw(picture).text(middle, sign, fill=ink, font=font, anchor="mm")
    return picture.rotate(hand.uniform(-12, 12), Image.Resampling.BILINEAR, fillcolor=paper)
