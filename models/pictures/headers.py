"""What a picture says of itself before any pixel is decoded: its size, its end, its animation.

Each reader raises CutOff where the bytes end before it is through, ValueError where they are not as
their format says.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Final

from models.pictures.signatures import PNG_SIGNATURE

MAX_PIECES: Final = 10_000  # of a file; a picture has some dozens, each is walked by Pillow as well
EOI, SOS = 0xD9, 0xDA
# FF, the last of any, and what is neither stuffing nor stands for itself; between the segments come
# coded pixels.
MARKER: Final = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])")


class CutOff(ValueError):
    """The file ends before the picture does."""


def png_size(data: bytes) -> tuple[int, int]:
    """Width and height by the first chunk."""
    if len(data) < 33:
        raise CutOff
    if data[8:16] != b"\x00\x00\x00\rIHDR":
        raise ValueError("no header")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def png_chunks(data: bytes) -> list[bytes]:
    """The type of each chunk up to IEND, whose checksums are right."""
    view, start, kinds = memoryview(data), len(PNG_SIGNATURE), list[bytes]()
    while len(kinds) < MAX_PIECES:
        if start + 12 > len(data):
            raise CutOff
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 8 + length
        if end + 4 > len(data):
            raise CutOff
        if zlib.crc32(view[start + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise ValueError("wrong checksum")
        kinds.append(kind)
        if kind == b"IEND":
            return kinds
        start = end + 4
    raise ValueError("too many chunks")


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of the whole canvas, which libwebp makes room for before it decodes."""
    if len(data) < 30 or len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise CutOff
    match data[12:16]:
        case b"VP8X":
            width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        case b"VP8L" if data[20] == 0x2F:
            bits = int.from_bytes(data[21:25], "little")
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 " if data[23:26] == b"\x9d\x01\x2a":
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
        case _:
            raise ValueError("no header")
    return width, height


def is_animated_webp(data: bytes) -> bool:
    """Whether it says that it is an animation, be it of one frame."""
    return data[12:16] == b"VP8X" and bool(data[20] & 2)


def jpeg_markers(data: bytes) -> Iterator[int]:
    """The marker of each segment, up to and with EOI; none of that where it is missing."""
    place = 2
    for _ in range(MAX_PIECES):
        found = MARKER.search(data, place)
        if found is None:
            return
        kind, start = found[1][0], found.end()
        yield kind
        if kind == EOI:
            return
        place = start + int.from_bytes(data[start : start + 2], "big")
        if place > len(data) or place < start + 2:
            raise CutOff
    raise ValueError("too many segments")


def ends_as_jpeg(data: bytes) -> bool:
    """Whether the end marker is there; what follows it, such as a film, is not looked at."""
    try:
        return EOI in jpeg_markers(data)
    except ValueError:
        return False


def has_scans_beyond(data: bytes, most: int) -> bool:
    """Whether a JPEG has more scans than that."""
    return data.count(b"\xff\xda") > most and list(jpeg_markers(data)).count(SOS) > most
