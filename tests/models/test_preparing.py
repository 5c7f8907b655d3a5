"""Which preparation a folder of pictures gets: the one that its pictures were made for."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from benchmarks.phone import photograph
from models.pictures.inputs import input_from_picture
from models.pictures.opening import ImageLimits, opened
from models.tasks import preparing
from models.tasks.pictures import load_pictures
from models.tasks.preparing import notice_preparation
from tests.glyphs import draw_glyphs

CLASSES, OF_EACH = 8, 6
SPEC = {
    "kind": "picture",
    "mode": "RGB",
    "size": [32, 32],
    "resample": "lanczos",
    "invert": False,
    "background": 255,
}
TURNED = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}  # the EXIF way, undone

Draw = Callable[[int, np.random.Generator], Image.Image]


def sign(kind: int, random: np.random.Generator) -> Image.Image:
    """A crooked line through five points that are the class's, each a little off."""
    points = np.random.default_rng(kind).integers(15, 90, (5, 2)) + random.integers(-4, 5, (5, 2))
    picture = Image.new("L", (105, 105), 255)
    ImageDraw.Draw(picture).line([tuple(map(int, p)) for p in points], fill=0, width=4)
    return picture


def colour(kind: int, random: np.random.Generator) -> Image.Image:
    """A card of the class's colour, in the light of the moment."""
    card = np.array(Image.new("HSV", (1, 1), (kind * 30, 200, 220)).convert("RGB"))[0, 0]
    lit = card * random.uniform(0.6, 1) * np.ones((40, 60, 1)) + random.normal(0, 10, (40, 60, 3))
    return Image.fromarray(lit.clip(0, 255).astype(np.uint8))


def anywhere(kind: int, random: np.random.Generator) -> Image.Image:
    side = int(random.integers(60, 200))
    canvas = Image.new("L", (300, 300), 255)
    place = tuple(int(at) for at in random.integers(0, 300 - side, 2))
    canvas.paste(sign(kind, random).resize((side, side)), place)
    return canvas


def photographed(kind: int, random: np.random.Generator) -> Image.Image:
    return photograph(sign(kind, random), random)


def folder_of(draw: Draw, folder: Path) -> list[list[Path]]:
    random, classes = np.random.default_rng(9), []
    for kind in range(CLASSES):
        below = folder / f"kind{kind}"
        below.mkdir(parents=True)
        files = [below / f"{number}.png" for number in range(OF_EACH)]
        for file in files:
            draw(kind, random).save(file)
        classes.append(files)
    return classes


@pytest.mark.parametrize(
    ("draw", "suits"),
    [
        (anywhere, {"ink"}),
        (photographed, {"pen-on-paper"}),
        (colour, {"photo", "as-is"}),
    ],
)
def test_pictures_get_the_preparation_they_were_made_for(
    tmp_path: Path, draw: Draw, suits: set[str]
) -> None:
    noticed = notice_preparation(folder_of(draw, tmp_path), SPEC)

    assert noticed.settings["preparation"] in suits
    assert noticed.settings["preparation"] in noticed.said[0]
    assert ("stroke" in noticed.settings) == (suits <= {"ink", "pen-on-paper"})


def test_one_picture_is_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, most = list[weakref.ref[Image.Image]](), list[int]()

    @contextmanager
    def counted(data: bytes, limits: ImageLimits) -> Iterator[Image.Image]:
        with opened(data, limits) as picture:
            decoded.append(weakref.ref(picture))
            most.append(sum(one() is not None for one in decoded))
            yield picture

    monkeypatch.setattr(preparing, "opened", counted)
    notice_preparation(folder_of(colour, tmp_path), SPEC)

    assert len(most) == CLASSES * OF_EACH
    assert max(most) <= 2  # the one before is let go when the next is there


@pytest.mark.parametrize("turn", TURNED)
def test_photographs_are_judged_upright(tmp_path: Path, turn: int) -> None:
    held, told = Image.Exif(), []
    held[0x0112] = turn
    for name, back, exif in (("plain", None, None), ("turned", TURNED[turn], held)):
        classes = []
        for kind in range(4):
            files = [tmp_path / f"{name}{kind}{number}.png" for number in range(2)]
            for number, file in enumerate(files):
                drawn = sign(kind, np.random.default_rng([kind, number]))
                wide = ImageOps.expand(drawn, (0, 0, 40, 0), 255)
                sent = wide if back is None or number else wide.transpose(back)
                sent.save(file, exif=None if number else exif)
            classes.append(files)
        told.append(notice_preparation(classes, SPEC))

    assert told[0] == told[1]


def test_what_is_chosen_is_what_examples_and_checkpoint_have(tmp_path: Path) -> None:
    draw_glyphs(tmp_path, signs="ABEGHKMNRS", pictures=4)

    chosen = load_pictures(tmp_path, preparation="auto", size=28, mode="L")

    spec = chosen.preprocessing
    assert spec is not None
    assert spec["preparation"] == "ink"
    first = sorted((tmp_path / "sign00").iterdir())[0]
    served = input_from_picture(Image.open(first), spec)
    np.testing.assert_array_equal(np.rint(served * 255), chosen.examples[0].numpy())


def test_a_preparation_that_is_named_is_taken_and_another_word_refused(tmp_path: Path) -> None:
    draw_glyphs(tmp_path, signs="ABEGHKMNRS", pictures=4)

    named = load_pictures(tmp_path, preparation="pen-on-paper", stroke=0.1)

    assert named.preprocessing is not None
    assert named.preprocessing["preparation"] == "pen-on-paper"
    assert named.preprocessing["stroke"] == 0.1
    with pytest.raises(ValueError, match="preparation: expected one of auto, as-is, ink, "):
        load_pictures(tmp_path, preparation="sepia")
    for stroke in (0, 0.3, "wide"):
        with pytest.raises(ValueError, match="stroke: expected a share of the shorter side"):
            load_pictures(tmp_path, preparation="ink", stroke=stroke)


def test_a_photograph_is_cut_to_its_middle_and_exposed_alike() -> None:
    random = np.random.default_rng(0)
    middle = random.integers(60, 190, (80, 80, 3)).astype(np.uint8)
    wide = np.full((80, 140, 3), 128, np.uint8)
    wide[:, 30:110] = middle
    dark = (wide * 0.5 + 10).astype(np.uint8)

    as_photo = SPEC | {"preparation": "photo"}
    bright, dim, square = (
        input_from_picture(Image.fromarray(each), as_photo) for each in (wide, dark, middle)
    )

    np.testing.assert_allclose(bright, square, atol=0.05)  # the filter looks over the edge
    np.testing.assert_allclose(bright, dim, atol=0.05)
    assert bright.mean() == pytest.approx(0.5, abs=0.01)
