import base64
import pickle
import time
import tracemalloc
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from app.errors import ServiceError
from app.inputs.images import ImageLimits, UploadedPicture, decode_data_url, read_picture
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

PNG, JPEG, WEBP = "a PNG", "a JPEG", "a WebP"
UPRIGHT = {**OMNIGLOT, "invert": False}


def read(data: bytes, declared: str | None = PNG, *, spec: Any = OMNIGLOT) -> Any:
    picture = UploadedPicture(data=data, declared=declared)
    return read_picture(picture, spec=spec, pointer="/x", limits=ImageLimits())


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes so many times."""
    data = encoded(drawing(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def wrong_checksum() -> bytes:
    return png(header(28, 28), rows(28, 28)[:-1] + b"\x00", chunk(b"IEND"))


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("end", [b"", b"="])
@pytest.mark.parametrize("head", ["data:image/png;base64,", "DATA:IMAGE/PNG;name=x;BASE64,"])
def test_base64_and_base64url_are_read_padded_or_not(encode: Any, end: bytes, head: str) -> None:
    data = bytes(range(253, 256)) * 4 + b"\x00\x01"
    text = encode(data).rstrip(b"=") + end

    found = decode_data_url(head + text.decode(), pointer="/x")

    assert found == UploadedPicture(data=data, declared=PNG)


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
        "data:image/png;base64, \n",
        "data:image/png;base64,aa\u00e9a",
    ],
)
def test_what_is_no_base64_is_no_picture(url: str) -> None:
    with refused("invalid-image", "/x"):
        decode_data_url(url, pointer="/x")


def test_a_space_in_base64_leads_to_base64url() -> None:
    with refused("invalid-image", "/x", says="base64url"):
        decode_data_url("data:image/png;base64,aa a", pointer="/x")


@pytest.mark.parametrize("lost", range(1, 9))
@pytest.mark.parametrize("wrap", [None, b"\n"])
def test_plus_signs_that_became_spaces_are_never_taken_for_lines(
    lost: int, wrap: bytes | None
) -> None:
    """Each group of four has one of them, up to a line of 76 characters and beyond."""
    text = base64.b64encode(b"\0\0\x3e" * 57 + b"\0")  # AAA+AAA+…AA==
    lines = text.replace(b"+", b"B").replace(b"B", b" ", lost)
    wrapped = lines if wrap is None else wrap.join(lines[at : at + 76] for at in (0, 76, 152))

    with refused("invalid-image", "/x", says="base64url"):
        decode_data_url(f"data:image/png;base64,{wrapped.decode()}", pointer="/x")


@pytest.mark.parametrize(
    ("end", "width"),
    [("\n", 76), ("\r\n", 76), (" \n", 64), ("\n\t  ", 76), ("\r", 60), (" ", 76), (" ", 64)],
)
@pytest.mark.parametrize("size", [57, 58, 114, 200, 229])
def test_base64_in_lines_is_read(end: str, width: int, size: int) -> None:
    """As GNU base64 (76), PEM (64) and e-mail have it, and as an unquoted $(base64 …) leaves it."""
    data = np.random.default_rng(size).bytes(size)
    text = base64.b64encode(data).decode()
    lines = end.join(text[at : at + width] for at in range(0, len(text), width))

    found = decode_data_url(f"data:image/png;base64,{lines}", pointer="/x")

    assert found.data == data


@pytest.mark.parametrize("signs", [" ", "\t", "\n", " \n", "\n ", "A \n"])
def test_sixteen_mebibytes_of_whitespace_take_no_longer_than_their_length(signs: str) -> None:
    url = f"data:image/png;base64,A{signs * (16 * 2**20 // len(signs))}A"

    start = time.process_time()
    with suppress(ServiceError):
        decode_data_url(url, pointer="/x")

    assert time.process_time() - start < 5  # measured: 0.1 to 1.8 s


@pytest.mark.parametrize("text", [" aaaa", "aaaa\n", "\taaaa\t", "\r\naa\r\naa\r\n"])
def test_whitespace_around_base64_counts_not(text: str) -> None:
    assert decode_data_url(f"data:image/png;base64,{text}", pointer="/x").data == b"i\xa6\x9a"


@pytest.mark.parametrize(
    ("media_type", "declared"),
    [
        ("image/x-png", PNG),
        ("IMAGE/PNG", PNG),
        (" image/png ;charset=utf-8", PNG),
        ("image/jpg", JPEG),
        ("image/pjpeg;name=a.png", JPEG),
        ("image/webp", WEBP),
        ("application/octet-stream", None),
        ("binary/octet-stream", None),
        ("", None),
    ],
)
def test_types_are_declared_in_many_ways(media_type: str, declared: str | None) -> None:
    found = decode_data_url(data_url(b"bytes", media_type), pointer="/x")

    assert found == UploadedPicture(data=b"bytes", declared=declared)


@pytest.mark.parametrize(
    ("media_type", "name"),
    [
        ("image/gif", "a GIF"),
        ("image/svg+xml", "an SVG"),
        ("application/pdf", "a PDF"),
        ("image/tiff", "a TIFF"),
        ("image/heic", "a HEIC"),
        ("image/x-own", "another type"),
        ("text/plain", "another type"),
    ],
)
def test_no_other_type_may_be_declared(media_type: str, name: str) -> None:
    with refused("unsupported-media-type", "/x", says=f"got {name}"):
        decode_data_url(data_url(encoded(drawing()), media_type), pointer="/x")


def test_bytes_of_no_declared_type_are_told_by_themselves() -> None:
    for kind in ("PNG", "JPEG", "WEBP"):
        assert read(encoded(drawing(), kind), None).shape == (1, 28, 28)
    with refused("unsupported-media-type", "/x", says="got a GIF"):
        read(encoded(drawing(), "GIF"), None)
    with refused("unsupported-media-type", "/x", says="got bytes of no picture"):
        read(pickle.dumps({}), None)
    with refused("invalid-image", "/x", says="got an empty file"):
        read(b"", None)


def test_bytes_are_what_they_are_declared_to_be() -> None:
    with refused("invalid-image", "/x", says="expected a PNG, as declared, got a GIF"):
        read(encoded(drawing(), "GIF"))
    with refused("invalid-image", "/x", says="expected a WebP, as declared, got a JPEG"):
        read(encoded(drawing(), "JPEG"), WEBP)


def test_a_picture_that_is_too_large_is_told_how_large_it_may_be() -> None:
    with pytest.raises(ServiceError) as caught:
        read(png(header(9000, 10), chunk(b"IEND")))

    assert caught.value.detail == (
        "expected at most 8192 pixels a side and 50331648 in all, got 9000 x 10; pictures are "
        "shrunk to 28 x 28 anyway: send smaller ones"
    )


@pytest.mark.parametrize(
    ("width", "height"),
    [(65535, 65535), (14000, 14000), (1, 1_000_000), (8193, 1), (8192, 6145), (2**31 - 1, 1)],
)
def test_a_picture_beyond_the_limits_is_refused_from_its_header(width: int, height: int) -> None:
    tracemalloc.start()

    with refused("image-too-large", "/x"):
        read(png(header(width, height), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND")))

    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_large_jpeg_is_refused_before_it_is_decoded() -> None:
    data = encoded(Image.new("L", (8193, 8)), "JPEG")

    with refused("image-too-large", "/x"):
        read(data[:400], JPEG)


def test_a_picture_of_just_the_limits_is_read() -> None:
    data = png(header(8192, 6144), rows(8192, 6144), chunk(b"IEND"))

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
        with_scans(101),
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
    sound = [(encoded(drawing(), kind), None) for kind in ("PNG", "JPEG", "WEBP")]
    for _ in range(200):
        data, media_type = sound[generator.integers(3)]
        broken = bytearray(data)
        for place in generator.integers(0, len(broken), 3):
            broken[place] = generator.integers(256)

        code = _outcome(bytes(broken), media_type)

        assert code in {"read", "invalid-image", "image-too-large", "unsupported-media-type"}


def _outcome(data: bytes, declared: str | None) -> str:
    try:
        read(data, declared)
    except ServiceError as error:
        return error.code
    return "read"


def test_a_png_with_two_headers_is_refused_before_it_is_decoded() -> None:
    """The first says 28 x 28, the last one, which would count, sixteen million pixels."""
    data = png(header(28, 28), header(4000, 4000), rows(4000, 4000), chunk(b"IEND"))

    with refused("invalid-image", "/x"):
        read(data)
