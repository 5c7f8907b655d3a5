"""From a decoded picture to a network's input, the same in training and in serving.

This file knows Pillow and NumPy only: the service imports it at its border, where torch has no
place.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RESAMPLING = {"lanczos": Image.Resampling.LANCZOS, "bilinear": Image.Resampling.BILINEAR}

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
    "bilinear",
    "invert": bool, "background": grey level 0..255 that shows through transparent pixels}; "margin"
    where there is one: pixels of 0 around a picture that is made so much smaller.
    The picture is turned upright by its EXIF orientation first; 16 bits are scaled to the full
    range.
    """
    turn = UPRIGHT.get(picture.getexif().get(ORIENTATION))
    upright = picture if turn is None else picture.transpose(turn)
    opaque = _lay_over(_to_eight_bits(upright), int(spec["background"]))
    margin = int(spec.get("margin", 0))
    height, width = (side - 2 * margin for side in spec["size"])
    grey = opaque.convert(spec["mode"]).resize((width, height), RESAMPLING[spec["resample"]])
    pixels = np.asarray(grey, dtype=np.float32) / np.float32(255)
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
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
