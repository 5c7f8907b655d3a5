"""Numbers that may be missing, and names behind them, as a checkpoint knows them."""

from typing import Any

import numpy as np
import pytest

from app.inputs.examples import read_examples
from app.inputs.images import ImageLimits
from app.values.description import InputSpec
from tests.border.refusals import refused

MEANS = [0.5, -2.0, 1e6]
KNOWN = [["blue", "red"], ["a", "b", "c"]]
HOLES = InputSpec(
    shape=(3,), preprocessing={"kind": "numbers", "missing": MEANS, "categories": None}
)
NAMED = InputSpec(
    shape=(8,), preprocessing={"kind": "numbers", "missing": MEANS, "categories": KNOWN}
)
WHOLE = InputSpec(
    shape=(8,), preprocessing={"kind": "numbers", "missing": None, "categories": KNOWN}
)


def read(spec: InputSpec, *values: Any) -> Any:
    return read_examples(list(values), spec, pointer="/i", limits=ImageLimits())


def test_what_is_missing_is_its_columns_mean() -> None:
    found = read(HOLES, [None, 1, None], [4, 5, 6], [7, None, 9])

    expected = np.array([[0.5, 1, 1e6], [4, 5, 6], [7, -2, 9]], np.float32)
    np.testing.assert_array_equal(found, expected, strict=True)


def test_what_is_missing_of_a_window_is_its_places_mean() -> None:
    about = {"kind": "numbers", "missing": [1.0, 2.0, 3.0, 4.0], "categories": None}

    found = read(InputSpec(shape=(2, 2), preprocessing=about), [[None, 9], [8, None]])

    np.testing.assert_array_equal(found, np.array([[[1, 9], [8, 4]]], np.float32))


def test_names_are_ones_among_zeros_behind_the_numbers() -> None:
    found = read(NAMED, [1, None, 3, "red", "a"])

    np.testing.assert_array_equal(found, np.array([[1, -2, 3, 0, 1, 1, 0, 0]], np.float32))


@pytest.mark.parametrize(
    ("spec", "value", "code", "pointer"),
    [
        (InputSpec(shape=(3,)), [1, None, 3], "validation", "/i/0/1"),
        (InputSpec(shape=(1,)), None, "validation", "/i/0"),
        (WHOLE, [1, None, 3, "red", "a"], "validation", "/i/0/1"),
        (HOLES, [None, 2], "validation", "/i/0/0"),
        (HOLES, [1, 2, "red"], "validation", "/i/0/2"),
        (HOLES, "data:image/png;base64,AAAA", "shape-mismatch", "/i/0"),
        (NAMED, [1, 2, 3, "green", "a"], "validation", "/i/0/3"),
        (NAMED, [1, 2, 3, "red", None], "validation", "/i/0/4"),
        (NAMED, [1, 2, 3, "red", ["a"]], "validation", "/i/0/4"),
        (NAMED, [1, 2, 3, "red"], "shape-mismatch", "/i/0"),
        (NAMED, [1, 2, 3, 0, 1, 1, 0, 0], "shape-mismatch", "/i/0"),
        (NAMED, [1, 2, "red", 3, "a"], "validation", "/i/0/3"),
        (NAMED, 1.0, "shape-mismatch", "/i/0"),
    ],
)
def test_what_the_checkpoint_does_not_know_is_refused_at_its_place(
    spec: InputSpec, value: Any, code: str, pointer: str
) -> None:
    with refused(code, pointer):
        read(spec, value)


@pytest.mark.parametrize(
    ("spec", "value", "said"),
    [
        (
            InputSpec(shape=(2,)),
            [1, None],
            "got null; fill it in, or adapt a checkpoint trained on",
        ),
        (NAMED, [1, 2, 3, "green", "a"], "expected one of 'blue', 'red', got another string"),
        (NAMED, [1, 2, 3], "expected 3 numbers and behind them 2 names, got an array of 3"),
    ],
)
def test_a_refusal_says_what_is_possible(spec: InputSpec, value: Any, said: str) -> None:
    with pytest.raises(Exception, match=said) as caught:
        read(spec, value)
    assert "green" not in str(caught.value)
