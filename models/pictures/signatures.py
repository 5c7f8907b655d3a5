"""What a file is by its first bytes, in the words of a refusal, whatever it was called."""

import re
from typing import Final

PNG: Final = "a PNG"
JPEG: Final = "a JPEG"
WEBP: Final = "a WebP"
NO_TYPE: Final = "bytes of no picture"

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
TEXT_BYTES: Final = 1024  # within which a text says that it is an SVG

SIGNATURES: Final = (
    (PNG_SIGNATURE, PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", "a GIF"),
    (b"GIF89a", "a GIF"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"II+\0", "a TIFF"),
    (b"MM\0+", "a TIFF"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xffO\xffQ", "a JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "an icon"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "a PostScript file"),
    (b"PK\3\4", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"version https://git-lfs", "a Git LFS pointer in place of the file"),
)
PATTERNS: Final = (
    (re.compile(rb"RIFF....WEBP", re.DOTALL), WEBP),
    (re.compile(rb"BM.{4}\0{4}", re.DOTALL), "a BMP"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "an AVIF"),
    (re.compile(rb"....ftyp(hei|hev|mif1|msf1)", re.DOTALL), "a HEIC"),
    (re.compile(rb"....ftyp", re.DOTALL), "a video"),
    (re.compile(rb"P[1-7]\s"), "a PNM"),
)
TEXTS: Final = (
    (re.compile(rb"<svg[\s>]", re.IGNORECASE), "an SVG"),
    (re.compile(rb"\A(\xef\xbb\xbf)?\s*(<!doctype html|<html)", re.IGNORECASE), "an HTML page"),
)


def name_of(data: bytes) -> str:
    """What the bytes are, with its article: PNG, JPEG, WEBP, another type's, or NO_TYPE."""
    for signature, name in SIGNATURES:
        if data.startswith(signature):
            return name
    for pattern, name in PATTERNS:
        if pattern.match(data):
            return name
    for pattern, name in TEXTS:
        if pattern.search(data, 0, TEXT_BYTES):
            return name
    return NO_TYPE
