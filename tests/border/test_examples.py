import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.inputs.examples import (
    check_lengths,
    pack_arrays,
    read_classes,
    read_examples,
    read_labels,
    read_values,
    unpack_arrays,
)
from app.inputs.images import ImageLimits, UploadedPicture
from app.values.description import InputSpec
from tests.border.pictures import OMNIGLOT, data_url, drawing, encoded
from tests.border.refusals import refused

LIMITS = ImageLimits()
DRAWINGS = Path(__file__).parents[2] / "examples" / "characters"
SINUSOID = InputSpec(shape=(1,))
CHARACTERS = InputSpec(shape=(1, 28, 28), preprocessing=OMNIGLOT)


def examples(values: list[Any], spec: InputSpec) -> Any:
    return read_examples(values, spec, pointer="/support/inputs", limits=LIMITS)


def test_bare_numbers_become_a_column() -> None:
    found = examples([1, -0.5, 1e-46], SINUSOID)

    np.testing.assert_array_equal(found, np.array([[1], [-0.5], [0]], np.float32), strict=True)


def test_number_arrays_are_taken_as_they_are() -> None:
    wanted = np.random.default_rng(1).random((3, 1, 28, 28), np.float32)

    found = examples([wanted[0].tolist(), wanted[1, 0].tolist(), wanted[2].tolist()], CHARACTERS)

    np.testing.assert_array_equal(found, wanted, strict=True)
    assert found.flags.c_contiguous


def test_arrays_data_urls_and_files_may_stand_side_by_side() -> None:
    file = encoded(drawing())
    upload = UploadedPicture(data=file)

    found = examples([np.zeros((28, 28)).tolist(), data_url(file), upload], CHARACTERS)

    assert not found[0].any()
    np.testing.assert_array_equal(found[1], found[2])


@pytest.mark.parametrize("value", ["http://127.0.0.1:9/x.png", "file:///etc/passwd", "0.1", ""])
@pytest.mark.parametrize("spec", [SINUSOID, CHARACTERS])
def test_a_string_that_is_no_data_url_is_no_example(value: str, spec: InputSpec) -> None:
    with refused("validation", "/support/inputs/1"):
        examples([_zero(spec), value], spec)


@pytest.mark.parametrize(
    "picture",
    [data_url(encoded(drawing())), UploadedPicture(data=b"")],
    ids=["url", "file"],
)
def test_a_picture_does_not_fit_where_numbers_are_taken(picture: object) -> None:
    with refused("shape-mismatch", "/support/inputs/0"):
        examples([picture], SINUSOID)


def test_pictures_that_are_too_much_together_are_refused_before_they_are_decoded() -> None:
    limits = ImageLimits(max_side_px=100, max_area_px=100, max_together_px=1600)
    fitting, breaking = drawing(10, 10), drawing(10, 10, seed=1)
    urls = [data_url(encoded(fitting))] * 16

    read_examples(urls, CHARACTERS, pointer="/x", limits=limits)

    with refused("image-too-large", "/x"):
        read_examples([*urls, data_url(encoded(breaking))], CHARACTERS, pointer="/x", limits=limits)


def test_the_first_example_that_does_not_fit_is_named() -> None:
    ragged = [[0.0] * 27, *[[0.0] * 28] * 27]

    with refused("ragged-array", "/support/inputs/1"):
        examples([_zero(CHARACTERS), ragged, []], CHARACTERS)


def test_a_full_support_of_number_arrays_is_read_well_below_a_second() -> None:
    values = np.random.default_rng(2).random((640, 28, 28)).tolist()

    start = time.process_time()
    examples(values, CHARACTERS)

    assert time.process_time() - start < 0.5  # measured: 0.04 s


@pytest.mark.parametrize(
    ("targets", "classes", "places"),
    [
        (["b", "a", "b"], ("b", "a"), [0, 1, 0]),
        ([3, 1, 3], ("3", "1"), [0, 1, 0]),
        ([-1, 9223372036854775808], ("-1", "9223372036854775808"), [0, 1]),
        (["\u00e9", "e\u0301"], ("\u00e9",), [0, 0]),
        (["e\u0301" * 64], ("\u00e9" * 64,), [0]),
        (
            ["a", "\u0430", "\u202ea", "{{7*7}}"],
            ("a", "\u0430", "\u202ea", "{{7*7}}"),
            [0, 1, 2, 3],
        ),
        ([10**63], ("1" + "0" * 63,), [0]),
    ],
)
def test_classes_keep_the_order_of_their_first_appearance(
    targets: list[Any], classes: tuple[str, ...], places: list[int]
) -> None:
    found, index = read_classes(targets, pointer="/support/targets")

    assert found == classes
    np.testing.assert_array_equal(index, np.array(places, np.int64), strict=True)


@pytest.mark.parametrize(
    "label",
    [
        *[1.5, True, None, ["a"], {}, "", "a" * 65, "a" * 1_000_000],
        *[10**64, 10**400, -(10**63), "a\0", "a\x07b", "a\nb", "a\x85"],
    ],
)
def test_what_is_no_class_name_is_refused(label: object) -> None:
    with refused("validation", "/support/targets/1"):
        read_classes(["a", label], pointer="/support/targets")


@pytest.mark.parametrize("targets", [[1, "1"], ["1", 1]])
def test_an_integer_and_its_digits_are_not_one_class(targets: list[Any]) -> None:
    with refused("validation", "/support/targets/1"):
        read_classes(targets, pointer="/support/targets")


def test_labels_are_places_among_known_classes() -> None:
    found = read_labels(["1", 2, "e\u0301"], ("\u00e9", "1", "2"), pointer="/query/targets")

    np.testing.assert_array_equal(found, np.array([1, 2, 0], np.int64), strict=True)


def test_every_unknown_label_is_named() -> None:
    with refused("validation", "/query/targets/0", "/query/targets/2"):
        read_labels(["z", "a", "y"], ("a",), pointer="/query/targets")


def test_values_take_bare_numbers_and_arrays() -> None:
    np.testing.assert_array_equal(
        read_values([1, [2.0]], (1,), pointer="/t"), np.array([[1], [2]], np.float32), strict=True
    )


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (None, "validation"),
        ("a", "validation"),
        (1e39, "validation"),
        ([[1.0, 2.0]], "shape-mismatch"),
    ],
)
def test_what_is_no_value_is_refused(target: object, code: str) -> None:
    with refused(code, "/support/targets/1"):
        read_values([0.0, target], (1,), pointer="/support/targets")


@pytest.mark.parametrize(
    ("inputs", "targets", "code"),
    [([], [], "empty-support"), ([1], [], "length-mismatch"), ([1], [1, 2], "length-mismatch")],
)
def test_lists_that_do_not_belong_together_are_refused(
    inputs: list[Any], targets: list[Any], code: str
) -> None:
    with refused(code, "/support"):
        check_lengths(inputs, targets, "/support")


def test_packed_arrays_come_back_as_they_were() -> None:
    arrays = {
        "x": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "y": np.array([1, 2], np.int64),
        "scalar": np.array(0.5, np.float64),
    }

    found = unpack_arrays(pack_arrays(**arrays))

    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
        assert found[name].flags.writeable


@pytest.mark.parametrize("inverted", [False, True])
def test_every_grey_level_of_a_picture_comes_back_to_the_bit_and_in_less_than_its_bytes(
    inverted: bool,
) -> None:
    levels = np.repeat(np.arange(256, dtype=np.float32), 12).reshape(4, 3, 16, 16)
    x = 1 - levels / np.float32(255) if inverted else levels / np.float32(255)

    packed = pack_arrays(x=x, y=np.arange(4))

    assert len(packed) < x.size
    found = unpack_arrays(packed)
    assert found.keys() == {"x", "y"}
    assert (found["x"].dtype, found["x"].shape) == (x.dtype, x.shape)
    assert found["x"].tobytes() == x.tobytes()
    assert found["x"].flags.writeable


@pytest.mark.parametrize(
    "number", [-0.0, np.nan, np.inf, -1 / 255, 256 / 255, 0.5, np.nextafter(np.float32(1), 2)]
)
def test_numbers_that_are_no_grey_levels_come_back_to_the_bit(number: float) -> None:
    x = np.full((1, 1, 2, 2), number, np.float32)

    assert unpack_arrays(pack_arrays(x=x))["x"].tobytes() == x.tobytes()


def test_a_support_set_of_drawings_takes_no_more_room_than_their_files() -> None:
    files = [path.read_bytes() for path in sorted(DRAWINGS.glob("*/*.png"))]
    sent = [UploadedPicture(data=data) for data in files]

    packed = pack_arrays(x=examples(sent, CHARACTERS), y=np.arange(len(sent)))

    assert len(packed) < sum(map(len, files))


def test_equal_arrays_are_packed_to_equal_bytes() -> None:
    one, two = np.arange(3.0), np.arange(4)

    assert pack_arrays(a=one, b=two) == pack_arrays(b=two.copy(), a=one[::1])


def _zero(spec: InputSpec) -> Any:
    return np.zeros(spec.shape).tolist()
