"""Pictures, right and wrong, made chunk by chunk where Pillow would not make them."""

import base64
import io
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
OMNIGLOT = {
    "kind": "picture",
    "mode": "L",
    "size": [28, 28],
    "resample": "lanczos",
    "invert": True,
    "background": 255,
}


def drawing(width: int = 40, height: int = 30, seed: int = 0) -> Image.Image:
    """A grey picture without any symmetry."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width))
    return Image.fromarray(pixels.astype(np.uint8))


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def png(*chunks: bytes) -> bytes:
    return PNG_SIGNATURE + b"".join(chunks)


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def header(width: int, height: int) -> bytes:
    """An eight-bit grey IHDR."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


def rows(width: int, height: int) -> bytes:
    """An IDAT of zeros."""
    return chunk(b"IDAT", zlib.compress(bytes((width + 1) * height), 9))


def with_chunk(data: bytes, extra: bytes) -> bytes:
    """The PNG with a chunk more behind its IHDR."""
    return data[:33] + extra + data[33:]


def inflating(kind: bytes, prefix: bytes, mebibytes: int) -> bytes:
    """A chunk whose compressed content is this much zeros."""
    packer = zlib.compressobj(9)
    parts: Iterable[bytes] = (packer.compress(bytes(1 << 20)) for _ in range(mebibytes))
    return chunk(kind, prefix + b"".join(parts) + packer.flush())
