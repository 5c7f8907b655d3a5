"""From a decoded picture to a network's input, the same in training and in serving.

This file knows Pillow and NumPy only: the service imports it at its border, where torch has no
place.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.pictures.ink import STROKE, ink_of_picture
from models.pictures.photos import input_from_photo, planes_of

AS_IS, INK, PEN_ON_PAPER, PHOTO = "as-is", "ink", "pen-on-paper", "photo"
PREPARATIONS = (AS_IS, INK, PEN_ON_PAPER, PHOTO)
DRAWN = (INK, PEN_ON_PAPER)  # those with a stroke
WIDEST = 0.25  # a stroke, of the shorter side
RESAMPLING = {"lanczos": Image.Resampling.LANCZOS, "bilinear": Image.Resampling.BILINEAR}
VERSION = 1  # raised where a preparation comes out otherwise: copies of prepared pictures are kept
DRAFT_PX = 1280  # of a side: where a JPEG is larger, half, a quarter or an eighth of it is decoded

ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT: dict[Any, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def input_from_picture(picture: Image.Image, spec: Mapping[str, Any]) -> NDArray[np.float32]:
    """The (C, H, W) float32 input in [0, 1] that ``spec`` makes of one decoded picture.

    spec: {"kind": "picture", "mode": "L" | "RGB", "size": [H, W], "resample": "lanczos" |
    "bilinear", "invert": bool, "background": grey level 0..255 that shows through transparent
    pixels}; where there are, "preparation", one of ``PREPARATIONS``, with "stroke", the share of
    the shorter side that strokes are made wide; and "margin", pixels of 0 around a picture that is
    made so much smaller.
    The picture is turned upright by its EXIF orientation first; 16 bits are scaled to the full
    range. Ink is 1 on a ground of 0, whatever the colours were, so "invert" has no part in it.
    """
    preparation = spec.get("preparation", AS_IS)
    if preparation in DRAWN:
        picture.draft(None, (DRAFT_PX, DRAFT_PX))
    plain = _to_eight_bits(upright(picture))
    if preparation in DRAWN:
        height, width = spec["size"]
        stroke, on_paper = float(spec.get("stroke", STROKE)), preparation == PEN_ON_PAPER
        ink = ink_of_picture(plain, (height, width), stroke=stroke, on_paper=on_paper)
        return np.repeat(ink[None], 3 if spec["mode"] == "RGB" else 1, axis=0)
    opaque = _lay_over(plain, int(spec["background"])).convert(spec["mode"])
    if preparation == PHOTO:
        planes = input_from_photo(opaque, spec["size"], RESAMPLING[spec["resample"]])
        return 1 - planes if spec["invert"] else planes
    return _as_it_is(opaque, spec)


def preparation_settings(
    name: object, stroke: object = None, *, known: Sequence[str] = PREPARATIONS
) -> dict[str, Any]:
    """What a spec says of a preparation, of ink with the stroke's width; known: what is refused is
    told of.

    Raises ValueError for an unknown one, and for a stroke that is none, or that it has no use for.
    """
    if name not in PREPARATIONS:
        raise ValueError(f"preparation: expected one of {', '.join(known)}, got {name!r}")
    if name not in DRAWN and stroke is not None:
        raise ValueError(f"stroke: expected none, as {name} leaves strokes as they are")
    if name not in DRAWN:
        return {} if name == AS_IS else {"preparation": name}
    wide = STROKE if stroke is None else stroke
    if type(wide) is not float or not 0 < wide <= WIDEST:
        expected = f"a share of the shorter side, above 0 and at most {WIDEST}"
        raise ValueError(f"stroke: expected {expected}, got {stroke!r}")
    return {"preparation": name, "stroke": wide}


def key_of(spec: Mapping[str, Any]) -> str:
    """Words that change with whatever ``spec`` makes of a picture: kept copies go by them."""
    words = json.dumps(spec, sort_keys=True)
    return words if spec.get("preparation", AS_IS) == AS_IS else f"{words} {VERSION}"


def upright(picture: Image.Image) -> Image.Image:
    """The decoded picture, turned by its EXIF orientation."""
    turn = UPRIGHT.get(picture.getexif().get(ORIENTATION))
    picture.load()
    return picture if turn is None else picture.transpose(turn)


def _as_it_is(picture: Image.Image, spec: Mapping[str, Any]) -> NDArray[np.float32]:
    margin = int(spec.get("margin", 0))
    height, width = (side - 2 * margin for side in spec["size"])
    resized = picture.resize((width, height), RESAMPLING[spec["resample"]])
    planes = planes_of(resized)
    planes = 1 - planes if spec["invert"] else planes
    if margin:
        planes = np.pad(planes, ((0, 0), (margin, margin), (margin, margin)))
    return np.ascontiguousarray(planes)


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    if not picture.mode.startswith("I"):
        return picture
    levels = np.asarray(picture, dtype=np.float32) / 257  # 65535 -> 255; Pillow would clip at 255
    return Image.fromarray(np.rint(levels).astype(np.uint8), mode=None)


def _lay_over(picture: Image.Image, background: int) -> Image.Image:
    if not picture.has_transparency_data:
        return picture
    overlay = picture.convert("RGBA")
    paper = Image.new("RGBA", overlay.size, (background,) * 3 + (255,))
    return Image.alpha_composite(paper, overlay).convert("RGB")
