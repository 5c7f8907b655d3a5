"""From the bytes of a picture that a stranger sent to a network's input.

What a picture is and whether it is one is told in ``models/pictures``, as for training; here a
refusal is made of it. It must not know where the bytes came from.
"""

import base64
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.errors import refusal
from models.pictures.inputs import DRAWN as DRAWN
from models.pictures.inputs import input_from_picture
from models.pictures.opening import ImageLimits as ImageLimits
from models.pictures.opening import NotTaken, opened, picture_size
from models.pictures.signatures import JPEG, PNG, WEBP, name_of

IMAGE_TYPES: Final = ("image/png", "image/jpeg", "image/webp")
DECLARED: Final = {
    "image/png": PNG,
    "image/x-png": PNG,
    "image/jpeg": JPEG,
    "image/jpg": JPEG,
    "image/pjpeg": JPEG,
    "image/webp": WEBP,
}
ANY_BYTES: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
OTHERS: Final = {
    "image/gif": "a GIF",
    "image/bmp": "a BMP",
    "image/x-ms-bmp": "a BMP",
    "image/tiff": "a TIFF",
    "image/svg+xml": "an SVG",
    "image/heic": "a HEIC",
    "image/heif": "a HEIC",
    "image/avif": "an AVIF",
    "application/pdf": "a PDF",
}
CODES: Final = {"another type": "unsupported-media-type", "too large": "image-too-large"}
BASE64URL: Final = str.maketrans("-_", "+/")
WHITESPACE: Final = frozenset(" \t\r\n")
SHORTEST_LINE: Final = 60  # of wrapped base64: PEM has 64 a line, MIME and GNU base64 76
PNG_URL: Final = "data:image/png;base64,"
SMALL_URL: Final = 8192
SMALL_PX: Final = 128 * 128
LARGE_PX: Final = 1_000_000
HUGE_PX: Final = 16_000_000
_DECODING_LARGE: Final = BoundedSemaphore(2)  # 16 megapixels take 260 MB on their way, from 2 kB
_DECODING_HUGE: Final = BoundedSemaphore(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedPicture:
    """A picture's bytes, and what it was declared to be: "a PNG"; None: to be told by its bytes."""

    data: bytes
    declared: str | None = None


def decode_data_url(url: str, *, pointer: str) -> UploadedPicture:
    """The picture of a data URL in base64 or base64url, padded or not, wrapped into lines or not.

    Raises ServiceError: unsupported-media-type where it is declared as another type than PNG, JPEG,
    WebP or just bytes, else invalid-image.
    """
    head, comma, text = url.partition(",")
    media_type, *parameters = (part.strip() for part in head[len("data:") :].lower().split(";"))
    if media_type not in DECLARED and media_type not in ANY_BYTES:
        detail = f"expected {', '.join(IMAGE_TYPES)}, got {OTHERS.get(media_type, 'another type')}"
        raise refusal("unsupported-media-type", pointer, detail)
    if not comma or parameters[-1:] != ["base64"]:
        raise refusal("invalid-image", pointer, "expected ;base64, before the bytes, got none")
    data = _decode_base64(_unwrapped(text), pointer)
    if not data:
        raise refusal("invalid-image", pointer, "expected bytes after the comma, got none")
    return UploadedPicture(data=data, declared=DECLARED.get(media_type))


def is_small_png(url: str) -> bool:
    """Whether a data URL's header says that decoding it takes a fraction of a millisecond.

    Nothing is checked: what is wrong with it shows when it is read.
    """
    if len(url) > SMALL_URL or not url.startswith(PNG_URL):
        return False
    head = url[len(PNG_URL) : len(PNG_URL) + 32].translate(BASE64URL)
    try:
        width, height = struct.unpack(">II", base64.b64decode(head)[16:24])
    except (ValueError, struct.error):
        return False
    return bool(width * height <= SMALL_PX)


def picture_area(
    picture: UploadedPicture, *, spec: Mapping[str, Any], pointer: str, limits: ImageLimits
) -> int:
    """How many pixels one still picture has; none of them is decoded.

    Raises ServiceError: unsupported-media-type, image-too-large or invalid-image.
    """
    with _refused(picture, spec, pointer):
        width, height = picture_size(picture.data, limits)
        return width * height


def read_picture(
    picture: UploadedPicture, *, spec: Mapping[str, Any], pointer: str, limits: ImageLimits
) -> NDArray[np.float32]:
    """The (C, H, W) float32 input that ``spec`` makes of one still PNG, JPEG or WebP.

    Raises ServiceError: unsupported-media-type, image-too-large or invalid-image.
    """
    with _refused(picture, spec, pointer):
        width, height = picture_size(picture.data, limits)
        with _turn(width * height), opened(picture.data, limits) as found:
            return input_from_picture(found, spec)


def shrunk_anyway(spec: Mapping[str, Any]) -> str:
    """The way out for pictures that are too large."""
    height, width = spec["size"]
    return f"pictures are shrunk to {width} x {height} anyway: send smaller ones"


@contextmanager
def _turn(area: int) -> Iterator[None]:
    """Few large pictures at a time, and one huge one."""
    with (
        _DECODING_HUGE if area > HUGE_PX else nullcontext(),
        _DECODING_LARGE if area > LARGE_PX else nullcontext(),
    ):
        yield


@contextmanager
def _refused(picture: UploadedPicture, spec: Mapping[str, Any], pointer: str) -> Iterator[None]:
    """A picture that is not what it was declared to be, or is not taken, becomes a refusal."""
    if picture.declared is not None and (name := name_of(picture.data)) != picture.declared:
        detail = f"expected {picture.declared}, as declared, got {name}"
        raise refusal("invalid-image", pointer, detail)
    try:
        yield
    except NotTaken as fault:
        way_out = f"; {shrunk_anyway(spec)}" if fault.reason == "too large" else ""
        code = CODES.get(fault.reason, "invalid-image")
        raise refusal(code, pointer, fault.detail + way_out) from fault


def _unwrapped(text: str) -> str:
    """The text without the ends of its lines; spaces alone stand for them where all lines are
    equally long.
    """
    if not any(sign in text for sign in WHITESPACE):
        return text
    ended = text.replace("\t", "").replace("\r", "\n").lstrip(" ").split("\n")
    joined = "".join(line.strip(" ") for line in ended) if len(ended) > 1 else ended[0]
    lines = joined.split(" ", len(joined) // SHORTEST_LINE)
    lengths = {len(line) for line in lines[:-1]}
    are_lines = len(lengths) == 1 and min(lengths) >= SHORTEST_LINE
    # a + that was lost leaves lines of another length, or less than whole groups of four
    if are_lines and all(len(line) % 4 == 0 for line in lines):
        return joined.replace(" ", "")
    return joined


def _decode_base64(text: str, pointer: str) -> bytes:
    bare = text.rstrip("=")
    padding = len(text) - len(bare)
    missing = -len(bare) % 4
    try:
        if padding not in (0, missing):
            raise ValueError
        standard = bare if "+" in bare or "/" in bare else bare.translate(BASE64URL)
        return base64.b64decode(standard + "=" * missing, validate=True)
    except ValueError:
        hint = "; a + in a URL arrives as a space, send base64url" if " " in text else ""
        detail = f"expected base64, got something else{hint}"
        raise refusal("invalid-image", pointer, detail) from None
