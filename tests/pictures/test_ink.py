"""A drawing comes out the same whatever ground, colour, place and size it was sent in.

The oracle is the drawing itself: a shape that Pillow draws, sent plainly and otherwise.
"""

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from benchmarks.phone import PAPERS, photograph
from models.pictures.ink import MARGIN, STROKE, of_neighbours, stroke_width
from models.pictures.inputs import INK, PEN_ON_PAPER, input_from_picture
from tests.border.pictures import OMNIGLOT

SPEC = OMNIGLOT | {"preparation": PEN_ON_PAPER, "stroke": STROKE}


def flag(width: int = 5) -> Image.Image:
    """A flag on a pole, 105 pixels a side: nothing of it is its own mirror image."""
    picture = Image.new("L", (105, 105), 255)
    pen = ImageDraw.Draw(picture)
    pen.line((30, 15, 30, 90), fill=0, width=width)
    pen.line((30, 17, 75, 30, 30, 45), fill=0, width=width)
    pen.line((30, 88, 55, 88), fill=0, width=width)
    return picture


def prepared(picture: Image.Image, preparation: str = PEN_ON_PAPER) -> NDArray[np.float32]:
    return input_from_picture(picture, SPEC | {"preparation": preparation})[0]


def difference(picture: Image.Image, preparation: str = PEN_ON_PAPER) -> float:
    """What of the ink is elsewhere than in the plain drawing's, by the plain drawing's ink."""
    plain = prepared(flag())
    return float(np.abs(prepared(picture, preparation) - plain).sum() / plain.sum())


def see_through(colour: tuple[int, int, int]) -> Image.Image:
    canvas = Image.new("RGBA", (105, 105), (*colour, 0))
    canvas.putalpha(ImageOps.invert(flag()))
    return canvas


def on_canvas(width: int, height: int, side: int, place: tuple[int, int]) -> Image.Image:
    canvas = Image.new("L", (width, height), 255)
    canvas.paste(flag().resize((side, side), Image.Resampling.LANCZOS), place)
    return canvas


def palette() -> Image.Image:
    return flag().convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE)


def framed(width: int, level: int) -> Image.Image:
    return ImageOps.expand(flag(), width, level)


def with_a_speck() -> Image.Image:
    picture = on_canvas(300, 300, 105, (10, 10))
    ImageDraw.Draw(picture).rectangle((250, 270, 251, 271), fill=0)
    return picture


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


SENT: dict[str, Callable[[], Image.Image]] = {
    "white on black": lambda: ImageOps.invert(flag()),
    "white on a transparent canvas": lambda: see_through((255, 255, 255)),
    "black on a transparent canvas": lambda: see_through((0, 0, 0)),
    "blue on a transparent canvas": lambda: see_through((0, 0, 255)),
    "yellow on a transparent canvas": lambda: see_through((255, 255, 0)),
    "small in a corner": lambda: on_canvas(400, 400, 70, (320, 10)),
    "a tall strip": lambda: on_canvas(100, 600, 80, (10, 400)),
    "a wide strip": lambda: on_canvas(900, 120, 105, (700, 5)),
    "tiny in twelve megapixels": lambda: on_canvas(4000, 3000, 200, (3700, 100)),
    "red on yellow": lambda: ImageOps.colorize(flag(), (200, 40, 40), (240, 230, 120)),
    "light on dark blue": lambda: ImageOps.colorize(flag(), (230, 230, 250), (10, 10, 80)),
    "red on a green as dark": lambda: ImageOps.colorize(flag(), (255, 0, 0), (0, 130, 0)),
    "yellow on white": lambda: ImageOps.colorize(flag(), (255, 235, 60), (255, 255, 255)),
    "in a thin black frame": lambda: framed(1, 0),
    "in a wide black frame": lambda: framed(20, 0),
    "in a wide black frame, JPEG": lambda: as_jpeg(framed(20, 0), 60),
    "in a black frame, halved": lambda: framed(5, 0).reduce(2),
    "light on dark in a white frame": lambda: ImageOps.expand(ImageOps.invert(flag()), 15, 255),
    "a speck far away": with_a_speck,
    "a faint pencil": lambda: Image.eval(flag(), lambda level: 255 - (255 - level) // 6),
    "one bit": lambda: flag().convert("1"),
    "a palette": palette,
    "sixteen bits": lambda: Image.fromarray(np.asarray(flag(), np.uint16) * 257),
    "28 pixels": lambda: flag().resize((28, 28), Image.Resampling.LANCZOS),
}


@pytest.mark.parametrize("sent", SENT)
def test_a_drawing_is_the_same_however_it_was_sent(sent: str) -> None:
    assert difference(SENT[sent]()) < 0.4
    assert difference(flag().transpose(Image.Transpose.FLIP_LEFT_RIGHT)) > 0.8  # the measure's own


@pytest.mark.parametrize("sent", ["white on black", "small in a corner", "a tall strip"])
def test_ink_alone_does_the_same_for_what_was_drawn_on_a_screen(sent: str) -> None:
    assert difference(SENT[sent](), INK) < 0.35


@pytest.mark.parametrize("width", [1, 2, 3, 5, 9])
def test_strokes_of_any_width_become_of_one(width: int) -> None:
    ink = prepared(flag(width))

    assert stroke_width(np.kron(ink, np.ones((8, 8), np.float32))) / 8 / 28 == pytest.approx(
        STROKE, rel=0.35
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (30, 41)])
@pytest.mark.parametrize(
    ("pick", "oracle"),
    [(np.maximum, ImageFilter.MaxFilter(3)), (np.minimum, ImageFilter.MinFilter(3))],
)
def test_strokes_grow_and_shrink_as_by_pillows_filters(
    size: tuple[int, int], pick: np.ufunc, oracle: ImageFilter.RankFilter
) -> None:
    levels = np.random.default_rng(0).integers(0, 256, size, np.uint8)

    found = of_neighbours(levels, pick)

    np.testing.assert_array_equal(found, np.asarray(Image.fromarray(levels).filter(oracle)))


def test_there_is_a_margin_on_every_side_and_the_ink_is_in_the_middle() -> None:
    rows, columns = (np.flatnonzero(prepared(flag()).max(axis=axis) > 0.3) for axis in (1, 0))

    assert rows[0] >= round(28 * MARGIN) - 1
    assert rows[-1] <= 28 - round(28 * MARGIN)
    assert columns[0] + columns[-1] == pytest.approx(27, abs=1)


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("size", [(105, 105), (1, 1), (1, 9), (600, 400)])
def test_where_nothing_is_drawn_there_is_no_ink(level: int, size: tuple[int, int]) -> None:
    assert not prepared(Image.new("L", size, level)).any()


def test_grain_alone_is_no_ink() -> None:
    random = np.random.default_rng(5)
    noise = 200 + random.standard_normal((300, 300)) * 6

    assert not prepared(Image.fromarray(noise.clip(0, 255).astype(np.uint8))).any()


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("ruled", [0.0, 1.0])
def test_a_photograph_on_any_paper_shows_the_drawing(paper: str, ruled: float) -> None:
    random = np.random.default_rng(11)
    apart = [difference(photograph(flag(), random, papers=(paper,), ruled=ruled)) for _ in range(6)]

    assert np.median(apart) < 0.6  # tilted by up to 8 degrees
    assert (
        np.median([difference(photograph(other(), random, papers=(paper,))) for _ in range(6)])
        > 0.9
    )


def other() -> Image.Image:
    picture = Image.new("L", (105, 105), 255)
    ImageDraw.Draw(picture).ellipse((20, 20, 85, 85), outline=0, width=5)
    return picture


def test_a_glyph_that_fills_its_picture_is_still_dark_ink() -> None:
    thick = flag(9)
    whole, cut = prepared(thick), prepared(thick.crop(ImageOps.invert(thick).getbbox()))

    assert np.abs(cut - whole).sum() < 0.1 * whole.sum()


def test_a_small_dot_that_belongs_to_a_sign_stays() -> None:
    dotted = flag()
    ImageDraw.Draw(dotted).ellipse((78, 84, 83, 89), fill=0)

    assert prepared(dotted)[18:, 18:].max() > 0.5


def test_pieces_that_reach_the_edge_of_a_clean_drawing_stay() -> None:
    bars = Image.new("L", (105, 105), 255)
    for top in (0, 49, 98):
        ImageDraw.Draw(bars).rectangle((0, top, 104, top + 6), fill=0)

    drawn = prepared(bars)[:, 14] > 0.5

    assert np.count_nonzero(np.diff(drawn.astype(int)) == 1) == 3


def test_a_box_that_is_drawn_is_no_frame() -> None:
    box = ImageOps.expand(ImageOps.expand(flag(), 4, 0), 20, 255)

    assert difference(box) > 0.8  # what surrounds the flag is ink


def test_ink_is_in_steps_that_a_stored_support_set_keeps() -> None:
    levels = prepared(flag()) * np.float32(255)

    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)


def test_colour_checkpoints_get_the_ink_in_every_plane() -> None:
    planes = input_from_picture(flag().convert("RGB"), SPEC | {"mode": "RGB"})

    assert planes.shape == (3, 28, 28)
    assert (planes == planes[:1]).all()


def test_a_large_jpeg_is_decoded_in_part_and_looks_the_same() -> None:
    large = flag().resize((4000, 4000), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    large.save(file, "JPEG", quality=90)
    opened = Image.open(io.BytesIO(file.getvalue()))

    drafted = prepared(opened)

    assert max(opened.size) < 4000
    np.testing.assert_allclose(drafted, prepared(large), atol=0.1)


@pytest.mark.parametrize("level", [80, 120, 200])
def test_dim_paper_with_a_gentle_gradient_is_no_ink(level: int) -> None:
    """A fifth of the light falls off towards one corner, and compression left no grain."""
    down, across = np.mgrid[0:420, 0:420] / 420
    paper = level * (1 - 0.2 * (down * across) ** 2)
    small = np.asarray(flag().resize((130, 130), Image.Resampling.LANCZOS), np.float32) / 255
    paper[40:170, 60:190] *= 0.55 + 0.45 * small
    dim = Image.fromarray(np.rint(paper).astype(np.uint8))

    assert difference(dim) < 0.45
