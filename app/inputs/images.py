"""From the bytes of a picture that a stranger sent to a network's input.

What can be refused by its header is; no pixel is decoded before the size is known, and no decoder
but Pillow's for PNG and JPEG ever sees the bytes. It must not know where the bytes came from.
"""

import base64
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from threading import BoundedSemaphore
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from app.errors import refusal
from models.preprocessing import input_from_picture

DECODERS: Final = {"image/png": PngImageFile, "image/jpeg": JpegImageFile}
NAMES: Final = {"image/png": "a PNG", "image/jpeg": "a JPEG"}
PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
BASE64URL: Final = str.maketrans("-_", "+/")
PNG_URL: Final = "data:image/png;base64,"
SMALL_URL: Final = 8192
SMALL_PX: Final = 128 * 128
LARGE_PX: Final = 1_000_000
_DECODING_LARGE: Final = BoundedSemaphore(2)  # 16 megapixels take 260 MB on their way, from 2 kB
MAX_PNG_CHUNKS: Final = 10_000  # a picture has some dozens; each is walked by Pillow as well
MAX_JPEG_SCANS: Final = 100  # each scan of a progressive JPEG costs a pass over all its pixels

# What Pillow raises on bytes that are not what they claim to be; anything else is our mistake.
PICTURE_FAULTS: Final = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """The largest picture that is decoded, in pixels of one side and of the whole area."""

    max_side_px: int = 4096
    max_area_px: int = 16_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedPicture:
    """A picture's bytes as a form carried them, with the type that the sender declared."""

    media_type: str
    data: bytes


def decode_data_url(url: str, *, pointer: str) -> tuple[str, bytes]:
    """The declared media type and the bytes of a data URL in base64 or base64url, padded or not.

    Raises ServiceError: unsupported-media-type unless PNG or JPEG is declared, else invalid-image.
    """
    head, comma, text = url.partition(",")
    media_type, *parameters = head[len("data:") :].lower().split(";")
    _check_media_type(media_type, pointer)
    if not comma or parameters[-1:] != ["base64"]:
        raise refusal("invalid-image", pointer, "expected ;base64, before the bytes, got none")
    if not text:
        raise refusal("invalid-image", pointer, "expected bytes after the comma, got none")
    return media_type, _decode_base64(text, pointer)


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


def picture_area(data: bytes, media_type: str, *, pointer: str, limits: ImageLimits) -> int:
    """How many pixels one still PNG or JPEG has; none of them is decoded.

    Raises ServiceError: unsupported-media-type, image-too-large or invalid-image.
    """
    with _opened(data, media_type, pointer, limits) as picture:
        return picture.width * picture.height


def read_picture(
    data: bytes, media_type: str, *, spec: Mapping[str, Any], pointer: str, limits: ImageLimits
) -> NDArray[np.float32]:
    """The (C, H, W) float32 input that ``spec`` makes of one still PNG or JPEG.

    Raises ServiceError: unsupported-media-type, image-too-large or invalid-image.
    """
    with _opened(data, media_type, pointer, limits) as picture:
        width, height = picture.size
        with _DECODING_LARGE if width * height > LARGE_PX else nullcontext():
            return input_from_picture(picture, spec)


@contextmanager
def _opened(
    data: bytes, media_type: str, pointer: str, limits: ImageLimits
) -> Iterator[Image.Image]:
    """The picture after all that its header tells; what decoding it raises becomes a refusal."""
    declared = media_type.partition(";")[0].strip().lower()
    _check_media_type(declared, pointer)
    try:
        if declared == "image/png":
            _check_png(data, pointer, limits)
        with DECODERS[declared](BytesIO(data)) as picture:
            _check_size(*picture.size, pointer=pointer, limits=limits)
            _check_scans(data, declared, pointer)
            yield picture
    except PICTURE_FAULTS as fault:
        detail = f"expected {NAMES[declared]}, got bytes that are none"
        raise refusal("invalid-image", pointer, detail) from fault


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


def _check_media_type(media_type: str, pointer: str) -> None:
    if media_type not in DECODERS:
        raise refusal(
            "unsupported-media-type", pointer, "expected image/png or image/jpeg, got another type"
        )


def _check_size(width: int, height: int, *, pointer: str, limits: ImageLimits) -> None:
    if width == 0 or height == 0:
        raise refusal("invalid-image", pointer, "expected a picture with pixels, got one without")
    if max(width, height) > limits.max_side_px or width * height > limits.max_area_px:
        side, area = limits.max_side_px, limits.max_area_px
        detail = f"expected at most {side} pixels a side and {area} in all, got more"
        raise refusal("image-too-large", pointer, detail)


def _check_png(data: bytes, pointer: str, limits: ImageLimits) -> None:
    if len(data) < 33 or data[:16] != PNG_SIGNATURE + b"\x00\x00\x00\rIHDR":
        raise ValueError("no PNG header")
    _check_size(*struct.unpack(">II", data[16:24]), pointer=pointer, limits=limits)
    kinds = list(_png_chunks(data))
    if kinds.count(b"IHDR") != 1:  # the last one would count, and the first was looked at
        raise ValueError("more than one header")
    if b"acTL" in kinds:
        raise refusal("invalid-image", pointer, "expected one still picture, got an animation")


def _png_chunks(data: bytes) -> Iterator[bytes]:
    """The type of each chunk up to IEND; an error where the file is cut off or a checksum wrong."""
    view, start, kind = memoryview(data), len(PNG_SIGNATURE), b""
    for _ in range(MAX_PNG_CHUNKS):
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 8 + length
        (checksum,) = struct.unpack_from(">I", data, end)
        if zlib.crc32(view[start + 4 : end]) != checksum:
            raise ValueError("wrong checksum")
        yield kind
        if kind == b"IEND":
            return
        start = end + 4
    raise ValueError("too many chunks")


def _check_scans(data: bytes, media_type: str, pointer: str) -> None:
    if media_type == "image/jpeg" and data.count(b"\xff\xda") > MAX_JPEG_SCANS:
        raise refusal(
            "invalid-image", pointer, f"expected at most {MAX_JPEG_SCANS} scans, got more"
        )
