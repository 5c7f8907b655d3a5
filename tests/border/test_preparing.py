"""Support sets that are not as a checkpoint knows them, drawn here by Pillow alone."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from app.inputs.preparing import look_at
from models.pictures.inputs import input_from_picture
from tests.border.pictures import OMNIGLOT

SPEC: dict[str, object] = OMNIGLOT | {"corrects": ["polarity", "frame"]}


def crosses(*, ink: int, paper: int, edge: int) -> list[Image.Image]:
    """Four pictures of a cross on paper, so many of 56 pixels away from the frame."""
    drawn = []
    for lean in range(4):
        picture = Image.new("L", (56, 56), paper)
        pen = ImageDraw.Draw(picture)
        pen.line((edge, edge + lean, 55 - edge, 55 - edge), fill=ink, width=5)
        pen.line((edge, 55 - edge, 55 - edge, edge + lean), fill=ink, width=5)
        drawn.append(picture)
    return drawn


def read(pictures: list[Image.Image], spec: dict[str, object]) -> NDArray[np.float32]:
    return np.stack([input_from_picture(picture, spec) for picture in pictures])


def test_what_the_checkpoint_knows_is_left_as_it_is() -> None:
    x = read(crosses(ink=0, paper=255, edge=10), SPEC)

    found = look_at(x, ["data:…"] * 4, SPEC, "/support/inputs")

    assert found.preprocessing is None
    assert found.warnings == ()


def test_negatives_are_turned_to_what_the_originals_are() -> None:
    negative = crosses(ink=255, paper=0, edge=10)
    found = look_at(read(negative, SPEC), ["data:…"] * 4, SPEC, "/support/inputs")

    assert [warning["code"] for warning in found.warnings] == ["negative"]
    assert found.preprocessing is not None
    right = read(crosses(ink=0, paper=255, edge=10), SPEC)
    np.testing.assert_allclose(read(negative, found.preprocessing), right, atol=1 / 255)


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0)])
def test_drawings_that_touch_the_frame_get_a_margin(ink: int, paper: int) -> None:
    pictures = crosses(ink=ink, paper=paper, edge=0)
    found = look_at(read(pictures, SPEC), ["data:…"] * 4, SPEC, "/support/inputs")

    assert found.preprocessing is not None
    made = read(pictures, found.preprocessing)
    assert not made[:, :, :4].any()
    assert not made[:, :, :, -4:].any()
    assert found.warnings[-1]["code"] == "fills-frame"
    inner = [picture.resize((20, 20), Image.Resampling.LANCZOS) for picture in pictures]
    whole = np.stack([np.asarray(one, np.float32) / 255 for one in inner])
    strokes = 1 - whole if ink == 0 else whole
    np.testing.assert_allclose(made[:, 0, 4:24, 4:24], strokes, atol=1e-6)


def test_numbers_are_said_to_be_negatives_and_left_alone() -> None:
    x = 1 - read(crosses(ink=0, paper=255, edge=10), SPEC)

    found = look_at(x, x.tolist(), SPEC, "/support/inputs")

    assert found.preprocessing is None
    assert [warning["pointer"] for warning in found.warnings] == ["/support/inputs"]


def test_a_checkpoint_that_says_nothing_of_it_is_not_second_guessed() -> None:
    plain = {key: value for key, value in SPEC.items() if key != "corrects"}
    x = read(crosses(ink=255, paper=0, edge=0), plain)

    assert look_at(x, ["data:…"] * 4, plain, "/support/inputs").warnings == ()


@pytest.mark.parametrize("preparation", ["ink", "pen-on-paper"])
def test_numbers_for_a_checkpoint_of_ink_are_looked_at_and_pictures_are_not(
    preparation: str,
) -> None:
    ink = {key: value for key, value in SPEC.items() if key != "corrects"}
    ink["preparation"] = preparation
    negative = 1 - read(crosses(ink=0, paper=255, edge=10), SPEC)

    numbers = look_at(negative, negative.tolist(), ink, "/support/inputs")
    pictures = look_at(negative, ["data:…"] * 4, ink, "/support/inputs")

    assert [warning["code"] for warning in numbers.warnings] == ["negative"]
    assert numbers.preprocessing is None
    assert pictures == look_at(1 - negative, negative.tolist(), ink, "/support/inputs")
