"""Pictures as data URLs, right and wrong, beside those of the border's own tests."""

import base64
import io
import struct
import zipfile
import zlib
from functools import cache

from PIL import Image

from tests.border.pictures import chunk, data_url, drawing, encoded, header, png, rows

BLACK = [[0] * 28] * 28


@cache
def picture(seed: int = 0) -> bytes:
    """A PNG of 28 x 28."""
    return encoded(drawing(28, 28, seed))


def url(seed: int = 0) -> str:
    return data_url(picture(seed))


@cache
def blank(width: int, height: int) -> bytes:
    """A one-bit PNG, small whatever it claims."""
    size = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    lines = zlib.compress(bytes((width // 8 + 2) * height), 9)
    return png(chunk(b"IHDR", size), chunk(b"IDAT", lines), chunk(b"IEND"))


def claimed(width: int, height: int) -> bytes:
    """A PNG of a header and nothing to show for it."""
    return png(header(width, height), chunk(b"IDAT"), chunk(b"IEND"))


@cache
def zeros(mebibytes: int) -> bytes:
    """A zlib stream of so many zeros, without ever packing them all."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">I", (mebibytes << 20) % 65521 << 16 | 1)
    return b"\x78\xda" + block * mebibytes + packer.flush() + checksum


def wrong_checksum() -> bytes:
    data = bytearray(picture())
    data[data.index(b"IDAT") + 6] ^= 1
    return bytes(data)


def many_chunks(count: int) -> bytes:
    return png(header(28, 28), chunk(b"teSt") * count, rows(28, 28), chunk(b"IEND"))


def animated(frames: int) -> bytes:
    control = chunk(b"acTL", struct.pack(">II", frames, 0))
    return png(header(28, 28), control, rows(28, 28), chunk(b"IEND"))


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("a.txt", "a")
    return buffer.getvalue()


def turned() -> tuple[bytes, bytes]:
    """A JPEG whose EXIF says that it lies on its side, and its very pixels upright as a PNG."""
    notes = Image.Exif()
    notes[0x0112] = 6
    data = encoded(drawing(40, 28), "JPEG", exif=notes)
    with Image.open(io.BytesIO(data)) as lying:
        return data, encoded(lying.transpose(Image.Transpose.ROTATE_270))


def odd_notes() -> bytes:
    """A JPEG on its side whose EXIF holds a resolution that is text."""
    entries = struct.pack(">HHI4s", 0x011B, 2, 4, b"abc\0") + struct.pack(
        ">HHIHH", 0x0112, 3, 1, 6, 0
    )
    notes = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + entries + bytes(4)
    return encoded(drawing(40, 28), "JPEG", exif=notes)


def base64_with_plus() -> str:
    """A PNG's base64 that a URL would have to encode."""
    texts = (base64.b64encode(picture(seed)).decode() for seed in range(100))
    return next(text for text in texts if "+" in text)
