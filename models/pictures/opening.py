"""From a picture's bytes to the picture whose pixels are decoded when they are asked for.

The service and training open every picture here, so both take the same ones. What can be refused
by its header is; no pixel is decoded before the size is known, and no decoder but Pillow's for PNG,
JPEG and WebP ever sees the bytes. It must not know where the bytes came from.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Literal

from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from models.pictures import headers
from models.pictures.headers import CutOff
from models.pictures.signatures import JPEG, PNG, WEBP, name_of

DECODERS: Final[Mapping[str, Callable[[BytesIO], ImageFile]]] = {
    PNG: PngImageFile,
    JPEG: JpegImageFile,
    WEBP: WebPImageFile,
}
EXPECTED: Final = "expected a PNG, JPEG or WebP picture"
MAX_JPEG_SCANS: Final = 100  # each scan of a progressive JPEG costs a pass over all its pixels

# What Pillow raises on bytes that are not what they claim to be; anything else is our mistake.
PICTURE_FAULTS: Final = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)

Reason = Literal["empty", "another type", "too large", "cut off", "animated", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """The largest picture that is decoded, in pixels of one side and of the whole area, and the
    most that all of one request may have together.

    A phone's 50 megapixels take some 0.8 GB on their way, whatever their file's size.
    """

    max_side_px: int = 8192
    max_area_px: int = 8192 * 6144
    max_together_px: int = 256_000_000


class NotTaken(Exception):
    """A picture that is refused: of which kind the reason is, and expected and got in words."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def picture_size(data: bytes, limits: ImageLimits) -> tuple[int, int]:
    """Width and height by the header alone. Raises NotTaken."""
    name = _name_of_taken(data)
    with _faults_of(name, data):
        size = _size_of(name, data)
    _check_size(*size, limits)
    return size


@contextmanager
def opened(data: bytes, limits: ImageLimits) -> Iterator[Image.Image]:
    """One still PNG, JPEG or WebP, decoded inside the block. Raises NotTaken, also for what Pillow
    finds wrong there.
    """
    picture_size(data, limits)
    name = name_of(data)
    with _faults_of(name, data):
        _check_still(name, data)
        with DECODERS[name](BytesIO(data)) as picture:
            _check_size(*picture.size, limits)
            yield picture


def _name_of_taken(data: bytes) -> str:
    if not data:
        raise NotTaken("empty", f"{EXPECTED}, got an empty file")
    name = name_of(data)
    if name not in DECODERS:
        raise NotTaken("another type", f"{EXPECTED}, got {name}")
    return name


def _size_of(name: str, data: bytes) -> tuple[int, int]:
    if name == JPEG:
        with JpegImageFile(BytesIO(data)) as picture:
            return picture.size
    return headers.png_size(data) if name == PNG else headers.webp_size(data)


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    if width == 0 or height == 0:
        raise NotTaken("broken", "expected a picture with pixels, got one without")
    if max(width, height) > limits.max_side_px or width * height > limits.max_area_px:
        most = f"{limits.max_side_px} pixels a side and {limits.max_area_px} in all"
        raise NotTaken("too large", f"expected at most {most}, got {width} x {height}")


def _check_still(name: str, data: bytes) -> None:
    """Raises NotTaken for an animation and for scans without end, ValueError for a PNG that cannot
    be right.
    """
    kinds = headers.png_chunks(data) if name == PNG else []
    if kinds and kinds.count(b"IHDR") != 1:  # the last one would count, and the first was looked at
        raise ValueError("more than one header")
    if b"acTL" in kinds or (name == WEBP and headers.is_animated_webp(data)):
        raise NotTaken("animated", "expected one still picture, got an animation")
    if name == JPEG and headers.has_scans_beyond(data, MAX_JPEG_SCANS):
        raise NotTaken("broken", f"expected at most {MAX_JPEG_SCANS} scans, got more")


@contextmanager
def _faults_of(name: str, data: bytes) -> Iterator[None]:
    """What the readers and Pillow raise, as NotTaken."""
    try:
        yield
    except PICTURE_FAULTS as fault:
        if isinstance(fault, CutOff) or (name == JPEG and not headers.ends_as_jpeg(data)):
            detail = f"expected {name} that is whole, got one that is cut off; send it anew"
            raise NotTaken("cut off", detail) from fault
        detail = f"expected {name} that can be decoded, got damaged bytes"
        raise NotTaken("broken", detail) from fault
