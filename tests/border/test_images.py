import base64
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from app.inputs.images import ImageLimits, decode_data_url, read_picture
from tests.border.pictures import (
    OMNIGLOT,
    PNG_SIGNATURE,
    chunk,
    data_url,
    drawing,
    encoded,
    header,
    inflating,
    png,
    rows,
    with_chunk,
)
from tests.border.refusals import refused

PNG, JPEG = "image/png", "image/jpeg"
UPRIGHT = {**OMNIGLOT, "invert": False}


def read(data: bytes, media_type: str = PNG, *, spec: Any = OMNIGLOT) -> Any:
    return read_picture(data, media_type, spec=spec, pointer="/x", limits=ImageLimits())


def wrong_checksum() -> bytes:
    return png(header(28, 28), rows(28, 28)[:-1] + b"\x00", chunk(b"IEND"))


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("end", [b"", b"="])
@pytest.mark.parametrize("head", ["data:image/png;base64,", "DATA:IMAGE/PNG;name=x;BASE64,"])
def test_base64_and_base64url_are_read_padded_or_not(encode: Any, end: bytes, head: str) -> None:
    data = bytes(range(253, 256)) * 4 + b"\x00\x01"
    text = encode(data).rstrip(b"=") + end

    assert decode_data_url(head + text.decode(), pointer="/x") == (PNG, data)


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64,",
        "data:image/png;base64",
        "data:image/png,aaaa",
        "data:image/png;base64;x=y,aaaa",
        "data:image/png;base64,aaaa!!!!",
        "data:image/png;base64,aaaaa",
        "data:image/png;base64,aaa==",
        "data:image/png;base64,aaaa====",
        "data:image/png;base64,aa=a",
        "data:image/png;base64,aa+_",
        "data:image/png;base64,aa\naa",
        "data:image/png;base64,aa\u00e9a",
    ],
)
def test_what_is_no_base64_is_no_picture(url: str) -> None:
    with refused("invalid-image", "/x"):
        decode_data_url(url, pointer="/x")


def test_a_space_in_base64_leads_to_base64url() -> None:
    with refused("invalid-image", "/x"):
        decode_data_url("data:image/png;base64,aa a", pointer="/x")


@pytest.mark.parametrize(
    "media_type",
    ["image/gif", "image/svg+xml", "application/pdf", "image/tiff", "application/octet-stream", ""],
)
def test_only_png_and_jpeg_may_be_declared(media_type: str) -> None:
    with refused("unsupported-media-type", "/x"):
        decode_data_url(data_url(b"GIF89a", media_type), pointer="/x")
    with refused("unsupported-media-type", "/x"):
        read(b"GIF89a", media_type)


@pytest.mark.parametrize(
    ("width", "height"),
    [(65535, 65535), (14000, 14000), (1, 1_000_000), (4097, 1), (4001, 4000), (2**31 - 1, 1)],
)
def test_a_picture_beyond_the_limits_is_refused_from_its_header(width: int, height: int) -> None:
    tracemalloc.start()

    with refused("image-too-large", "/x"):
        read(png(header(width, height), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND")))

    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_large_jpeg_is_refused_before_it_is_decoded() -> None:
    data = encoded(Image.new("L", (4097, 8)), "JPEG")

    with refused("image-too-large", "/x"):
        read(data[:400], JPEG)


def test_a_picture_of_just_the_limits_is_read() -> None:
    data = png(header(4000, 4000), rows(4000, 4000), chunk(b"IEND"))

    np.testing.assert_array_equal(read(data), np.ones((1, 28, 28), np.float32), strict=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PNG_SIGNATURE,
        encoded(drawing(), "GIF"),
        encoded(drawing(), "JPEG"),
        b"\x93NUMPY\x01\x00v\x00{'descr': '|O'}",
        png(header(0, 0), chunk(b"IEND")),
        png(header(28, 28)),
        png(header(28, 28), rows(28, 28)[:-8]),
        png(header(28, 28), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND")),
        png(header(28, 28), rows(28, 28)),
        png(chunk(b"IEND"), header(28, 28), rows(28, 28)),
        wrong_checksum(),
        with_chunk(encoded(drawing()), chunk(b"tRNS", b"")),
        with_chunk(encoded(drawing()), inflating(b"iCCP", b"x\0\0", 64)),
        with_chunk(encoded(drawing()), inflating(b"zTXt", b"x\0\0", 64)),
    ],
)
def test_bytes_that_are_no_sound_png_are_refused(data: bytes) -> None:
    with refused("invalid-image", "/x"):
        read(data)


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt"])
def test_a_chunk_that_inflates_without_end_costs_no_memory(kind: bytes) -> None:
    data = with_chunk(encoded(drawing()), inflating(kind, b"x\0\0", 256))
    tracemalloc.start()

    with refused("invalid-image", "/x"):
        read(data)

    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        encoded(drawing(), "JPEG")[: len(encoded(drawing(), "JPEG")) // 2],
        encoded(drawing()),
        b"\xff\xd8\xff",
        encoded(drawing(), "JPEG") + b"\xff\xda" * 101,
    ],
    ids=["half", "a PNG", "no more than a mark", "too many scans"],
)
def test_bytes_that_are_no_sound_jpeg_are_refused(data: bytes) -> None:
    with refused("invalid-image", "/x"):
        read(data, JPEG)


@pytest.mark.parametrize("frames", [2, 100_000])
def test_an_animation_is_no_still_picture(frames: int) -> None:
    control = chunk(b"acTL", frames.to_bytes(4, "big") + bytes(4))

    with refused("invalid-image", "/x"):
        read(with_chunk(encoded(drawing()), control))


def test_what_follows_the_end_of_a_png_is_not_looked_at() -> None:
    data = encoded(drawing())

    np.testing.assert_array_equal(read(data + b"PK\x03\x04" + b"\0" * 99), read(data))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_of_png_becomes_the_same_input(mode: str) -> None:
    bilevel = drawing().point(lambda level: 255 * (level > 127))

    found = read(encoded(bilevel.convert("RGB").convert(mode)))

    np.testing.assert_allclose(found, read(encoded(bilevel)), atol=1 / 255)  # a grey level


def test_cmyk_jpeg_is_read() -> None:
    grey = drawing().resize((28, 28), Image.Resampling.BICUBIC).resize((280, 280))
    found = read(encoded(grey.convert("RGB").convert("CMYK"), "JPEG", quality=95), JPEG)

    np.testing.assert_allclose(found, read(encoded(grey)), atol=0.05)  # JPEG's own loss


def test_sixteen_bits_are_scaled_to_the_full_range() -> None:
    levels = np.linspace(0, 65535, 28 * 28).reshape(28, 28).round().astype(np.uint16)

    found = read(encoded(Image.fromarray(levels)), spec=UPRIGHT)

    np.testing.assert_allclose(found[0], levels / 65535, atol=1 / 255)


def test_alpha_is_laid_over_the_background_of_the_preprocessing() -> None:
    clear = Image.new("LA", (28, 28), (0, 0))

    assert (read(encoded(clear), spec={**UPRIGHT, "background": 51}) == np.float32(0.2)).all()


def test_a_turned_picture_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    lying = ImageOps.exif_transpose(drawing()).transpose(Image.Transpose.ROTATE_90)
    turned = encoded(lying, "JPEG", quality=100, exif=exif)

    np.testing.assert_allclose(read(turned, JPEG), read(encoded(drawing())), atol=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_are_read_or_refused_and_nothing_else(seed: int) -> None:
    generator = np.random.default_rng(seed)
    sound = [(encoded(drawing()), PNG), (encoded(drawing(), "JPEG"), JPEG)]
    for _ in range(150):
        data, media_type = sound[generator.integers(2)]
        broken = bytearray(data)
        for place in generator.integers(0, len(broken), 3):
            broken[place] = generator.integers(256)

        code = _outcome(bytes(broken), media_type)

        assert code in {"read", "invalid-image", "image-too-large"}


def _outcome(data: bytes, media_type: str) -> str:
    from app.errors import ServiceError

    try:
        read(data, media_type)
    except ServiceError as error:
        return error.code
    return "read"


def test_a_png_with_two_headers_is_refused_before_it_is_decoded() -> None:
    """The first says 28 x 28, the last one, which would count, sixteen million pixels."""
    data = png(header(28, 28), header(4000, 4000), rows(4000, 4000), chunk(b"IEND"))

    with refused("invalid-image", "/x"):
        read(data)
