"""One opener for the service and for training: what is taken, and what is said of the rest."""

import io
import struct
import time

import numpy as np
import pytest
from PIL import Image

from models.pictures.opening import ImageLimits, NotTaken, opened, picture_size
from models.pictures.signatures import name_of
from tests.border.pictures import chunk, drawing, encoded, header, png, rows, with_chunk

LIMITS = ImageLimits()


def pixels(data: bytes) -> np.ndarray:
    with opened(data, LIMITS) as picture:
        return np.array(picture.convert("RGBA"))


def reason(data: bytes) -> tuple[str, str]:
    with pytest.raises(NotTaken) as caught:
        pixels(data)
    return caught.value.reason, caught.value.detail


def photo(kind: str = "JPEG", **options: object) -> bytes:
    """Of 4 x 3 blocks and some more pixels, in colour, smooth enough for runs of zeros."""
    small = np.random.default_rng(1).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return encoded(Image.fromarray(small).resize((70, 55)), kind, **options)


def note(size: int) -> Image.Exif:
    """With a thumbnail, that is a JPEG inside the JPEG."""
    exif = Image.Exif()
    exif[0x9286] = encoded(drawing(16, 16), "JPEG")[:size]
    return exif


def as_saved(picture: Image.Image, kind: str) -> bytes:
    return encoded(picture, kind)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_lossless_webp_is_the_picture_itself(mode: str) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (20, 30, len(mode)), dtype=np.uint8)
    picture = Image.fromarray(levels, mode)

    found = pixels(encoded(picture, "WEBP", lossless=True, exact=True))

    np.testing.assert_array_equal(found, np.array(picture.convert("RGBA")))


@pytest.mark.parametrize("alpha", [False, True])
def test_lossy_webp_is_the_picture_nearly(alpha: bool) -> None:
    with Image.open(io.BytesIO(photo("PNG"))) as smooth:
        sharp = smooth.convert("RGB")
    if alpha:
        sharp.putalpha(Image.linear_gradient("L").resize(sharp.size))

    found = pixels(encoded(sharp, "WEBP", quality=100, exact=True))

    wanted = np.array(sharp.convert("RGBA"))
    np.testing.assert_array_equal(found[..., 3], wanted[..., 3])
    assert np.abs(found.astype(int) - wanted).mean() < 8  # of 255; its colours are halved in size


FRAMES = [drawing(8, 8, seed) for seed in range(3)]


@pytest.mark.parametrize(
    "data",
    [
        encoded(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]),
        encoded(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]),
        with_chunk(encoded(drawing()), chunk(b"acTL", struct.pack(">II", 1, 0))),
    ],
    ids=["WebP", "APNG", "of one frame"],
)
def test_an_animation_is_refused(data: bytes) -> None:
    assert reason(data) == ("animated", "expected one still picture, got an animation")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (as_saved(drawing(), "GIF"), "a GIF"),
        (as_saved(drawing(), "BMP"), "a BMP"),
        (as_saved(drawing(), "TIFF"), "a TIFF"),
        (as_saved(drawing(), "AVIF"), "an AVIF"),
        (as_saved(drawing(), "JPEG2000"), "a JPEG 2000"),
        (as_saved(drawing(), "ICO"), "an icon"),
        (as_saved(drawing(), "PDF"), "a PDF"),
        (as_saved(drawing(), "EPS"), "a PostScript file"),
        (as_saved(drawing(), "PPM"), "a PNM"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0", "a HEIC"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "a video"),
        (b"\xff\x0a\xfa\x1f", "a JPEG XL"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
        (b"<?xml version='1.0'?>\n<!-- a -->\n<svg width='1'/>", "an SVG"),
        (b"\xef\xbb\xbf<!DOCTYPE html><title>404</title>", "an HTML page"),
        (b"\x93NUMPY\1\0v\0{'descr': '|O'}", "a NumPy array"),
        (b"PK\3\4\x14\0", "a ZIP archive"),
        (b"\x1f\x8b\x08\0", "a gzip archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer in place of the file"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "bytes of no picture"),
        (b"hello", "bytes of no picture"),
        (b"\xff\xd8", "bytes of no picture"),
    ],
)
def test_another_type_is_named(data: bytes, name: str) -> None:
    assert name_of(data) == name
    wanted = ("another type", f"expected a PNG, JPEG or WebP picture, got {name}")
    assert reason(data) == wanted


def test_nothing_is_an_empty_file() -> None:
    assert reason(b"") == ("empty", "expected a PNG, JPEG or WebP picture, got an empty file")


JPEGS = [
    photo(),
    photo(quality=100),
    photo(subsampling=0),
    photo(progressive=True),
    photo(progressive=True, quality=30),
    photo(restart_marker_blocks=3),
    photo(progressive=True, restart_marker_blocks=2),
    encoded(Image.new("CMYK", (40, 40)), "JPEG"),
    encoded(drawing(), "JPEG"),
    encoded(drawing(), "JPEG", exif=note(2000)),
]


@pytest.mark.parametrize("data", JPEGS, ids=range(len(JPEGS)))
def test_a_jpeg_without_its_end_is_cut_off(data: bytes) -> None:
    for end in (*range(3, len(data) - 3, 5), len(data) - 2, len(data) - 1):
        assert reason(data[:end])[0] == "cut off", end


def test_a_progressive_jpeg_without_its_last_scan_is_cut_off() -> None:
    data = photo(progressive=True)

    for place in [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"][1:]:
        tables = data.rindex(b"\xff\xc4", 0, place)
        assert reason(data[:tables])[0] == "cut off"


def test_fill_bytes_without_end_are_looked_through_once() -> None:
    data = photo()
    scan = data.index(b"\xff\xda")

    start = time.thread_time()
    assert reason(data[:scan] + b"\xff" * 2**16)[0] == "cut off"

    assert time.thread_time() - start < 1  # each byte anew for every other: half a minute


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("lost", [1, 2, 40, -11, -12, -29])
def test_a_webp_that_ends_early_is_cut_off(lossless: bool, lost: int) -> None:
    data = photo("WEBP", lossless=lossless)

    found = reason(data[:-lost])

    if lost == -11:
        assert found[0] == "another type"  # its name is not there yet
        return
    detail = "expected a WebP that is whole, got one that is cut off; send it anew"
    assert found == ("cut off", detail)


def test_a_png_that_ends_early_is_cut_off() -> None:
    data = encoded(drawing())

    for end in range(8, len(data)):
        assert reason(data[:end])[0] == "cut off"


@pytest.mark.parametrize(
    "data",
    [
        with_chunk(encoded(drawing()), b"\0\0\0\1teSt\0\0\0\0\0"),
        png(header(0, 5), rows(0, 5), chunk(b"IEND")),
        b"RIFF\x18\0\0\0WEBPVP8 \x0c\0\0\0" + bytes(12),
    ],
)
def test_damaged_bytes_are_not_called_cut_off(data: bytes) -> None:
    assert reason(data)[0] == "broken"


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (encoded(drawing(31, 17)), (31, 17)),
        (encoded(drawing(31, 17), "JPEG"), (31, 17)),
        (encoded(drawing(31, 17), "WEBP"), (31, 17)),
        (encoded(drawing(31, 17), "WEBP", lossless=True), (31, 17)),
        (encoded(drawing(31, 17), "WEBP", exif=note(9)), (31, 17)),
        (encoded(drawing(300, 1).convert("RGBA"), "WEBP"), (300, 1)),
    ],
)
def test_the_size_is_in_the_header(data: bytes, size: tuple[int, int]) -> None:
    assert picture_size(data, LIMITS) == size


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_beyond_the_limits_is_told_both_sizes(kind: str) -> None:
    limits = ImageLimits(max_side_px=100, max_area_px=500)

    with pytest.raises(NotTaken) as caught, opened(encoded(drawing(), kind), limits):
        pass

    assert caught.value.reason == "too large"
    assert caught.value.detail == "expected at most 100 pixels a side and 500 in all, got 40 x 30"


def test_a_film_behind_a_photo_is_not_looked_at() -> None:
    data = photo()

    found = pixels(data + b"\0\0\0\x18ftypmp42" + b"\xff\xda\xff\xd9" * 300 + b"\xff\xda")

    np.testing.assert_array_equal(found, pixels(data))


@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_90, Image.Transpose.FLIP_LEFT_RIGHT])
def test_a_webp_keeps_the_note_of_how_it_was_held(turn: Image.Transpose) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6

    with opened(encoded(drawing().transpose(turn), "WEBP", exif=exif), LIMITS) as picture:
        assert picture.getexif()[0x0112] == 6
