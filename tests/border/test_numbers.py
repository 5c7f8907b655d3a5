from typing import Any

import numpy as np
import pytest

from app.inputs.numbers import read_numbers
from tests.border.refusals import refused

ROW = [0.5, 1.5]


@pytest.mark.parametrize(
    ("value", "shape", "expected"),
    [
        (2, (1,), [2.0]),
        (2.5, (), 2.5),
        ([2.5], (), 2.5),
        ([2.5], (1,), [2.5]),
        ([ROW, ROW], (2, 2), [ROW, ROW]),
        ([ROW, ROW], (1, 2, 2), [[ROW, ROW]]),
        ([[ROW, ROW]], (1, 2, 2), [[ROW, ROW]]),
        (-0.0, (1,), [0.0]),
        (2**64, (1,), [2.0**64]),
        (3.4028235e38, (1,), [3.4028235e38]),
    ],
)
def test_numbers_come_out_in_the_wanted_shape(
    value: Any, shape: tuple[int, ...], expected: Any
) -> None:
    np.testing.assert_array_equal(read_numbers(value, shape, "/x"), np.array(expected), strict=True)


@pytest.mark.parametrize(
    ("value", "shape", "code", "pointer"),
    [
        (True, (1,), "validation", "/x"),
        ("0.1", (1,), "validation", "/x"),
        (None, (1,), "validation", "/x"),
        ({}, (1,), "validation", "/x"),
        (float("inf"), (1,), "validation", "/x"),
        (float("nan"), (1,), "validation", "/x"),
        (1e308, (1,), "validation", "/x"),
        (-3.5e38, (1,), "validation", "/x"),
        (10**400, (1,), "validation", "/x"),
        ([[0.0, 1.0], [0.0, True]], (2, 2), "validation", "/x/1/1"),
        ([[0.0, 1.0], [10**400, 0.0]], (2, 2), "validation", "/x/1/0"),
        ([[0.0, 1.0], [0.0, 1e309]], (2, 2), "validation", "/x/1/1"),
        ([[0.0, 1.0], None], (2, 2), "validation", "/x/1"),
        ([[0.0, 1.0], [0.0]], (2, 2), "ragged-array", "/x"),
        ([[0.0, 1.0], 0.0], (2, 2), "ragged-array", "/x"),
        ([], (1,), "shape-mismatch", "/x"),
        ([1.0, 2.0], (1,), "shape-mismatch", "/x"),
        ([[1.0]], (1,), "shape-mismatch", "/x"),
        (1.0, (2, 2), "shape-mismatch", "/x"),
        ([[[[ROW, ROW]]]], (1, 2, 2), "shape-mismatch", "/x"),
        ([[], []], (2, 2), "shape-mismatch", "/x"),
    ],
)
def test_what_is_no_array_of_finite_numbers_is_refused_at_its_place(
    value: Any, shape: tuple[int, ...], code: str, pointer: str
) -> None:
    with refused(code, pointer):
        read_numbers(value, shape, "/x")


def test_at_most_twenty_places_are_named() -> None:
    with refused("validation", *(f"/x/0/{i}" for i in range(20))):
        read_numbers([["x"] * 28] * 28, (28, 28), "/x")


def test_the_greatest_float32_is_the_last_number_that_is_taken() -> None:
    numbers = [float(2**128 - 2**103), float(np.nextafter(2**128 - 2**103, 0))]

    beyond = np.array(numbers, np.float64)
    with np.errstate(over="ignore"):
        assert list(np.isfinite(beyond.astype(np.float32))) == [False, True]  # NumPy's rounding
    with refused("validation", "/x/0"):
        read_numbers(numbers, (2,), "/x")
