"""What is said of examples that are taken, and when nothing is."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.inputs.doubts import doubts_of_inputs, doubts_of_support
from app.inputs.support_sets import Given, SupportSet
from app.values.description import InputSpec
from app.values.warnings import WARNINGS, Warning

STROKES = InputSpec(
    shape=(1, 28, 28), preprocessing={"kind": "picture", "preparation": "pen-on-paper"}
)
COLOURS = InputSpec(shape=(3, 32, 32), preprocessing={"kind": "picture"})
NUMBERS = InputSpec(shape=(3,))

X = NDArray[np.float32]


def drawn(count: int, seed: int = 0) -> X:
    """Pictures of which about a seventh is ink."""
    random = np.random.default_rng(seed)
    return (random.random((count, 1, 28, 28)) < 0.15).astype(np.float32)


def of_inputs(x: X, spec: InputSpec = STROKES, *, numbers: bool = False) -> list[Warning]:
    given: list[Any] = x.tolist() if numbers else ["data:…"] * len(x)
    return doubts_of_inputs(x, given, spec, "/inputs")


def of_support(names: list[str], x: X | None = None) -> list[Warning]:
    x = drawn(len(names)) if x is None else x
    classes = tuple(dict.fromkeys(names))
    y = np.array([classes.index(name) for name in names])
    given = Given(
        inputs=["data:…"] * len(x), inputs_at="/support/inputs", targets_at="/support/targets"
    )
    support = SupportSet(arrays={"x": x, "y": y}, classes=classes, outputs=len(classes))
    return doubts_of_support(support, given, STROKES)


def told(warnings: list[Warning]) -> list[tuple[str, str]]:
    assert all(one["code"] in WARNINGS and one["detail"] for one in warnings)
    return [(one["code"], one["pointer"]) for one in warnings]


def test_of_ordinary_drawings_nothing_is_said() -> None:
    assert of_support(["a", "b", "c", "a", "b", "c"]) == []
    assert of_inputs(drawn(3), numbers=True) == []


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_a_picture_of_one_colour_is_blank(level: float) -> None:
    x = drawn(3)
    x[1] = level

    assert told(of_inputs(x)) == [("blank", "/inputs/1")]


def test_a_colour_picture_of_one_grey_is_blank_and_a_dark_one_is_no_ink() -> None:
    x = np.random.default_rng(1).random((2, 3, 32, 32)).astype(np.float32) * 0.2 + 0.7
    x[1] = 0.5

    assert told(of_inputs(x, COLOURS)) == [("blank", "/inputs/1")]


def test_a_picture_that_is_nearly_all_ink_is_full() -> None:
    x = drawn(2)
    x[0, 0, 2:] = 1

    assert told(of_inputs(x)) == [("full", "/inputs/0")]


@pytest.mark.parametrize(
    ("change", "to_do"),
    [
        (lambda x: x * 255, "divide by 255"),
        (lambda x: x * 2 - 1, "bring them to 0 to 1"),
        (lambda x: x * 1000, "bring them to 0 to 1"),
    ],
)
def test_numbers_out_of_range_are_said_with_the_remedy(change: Any, to_do: str) -> None:
    x = np.concatenate([drawn(1), change(drawn(1))])

    [said] = of_inputs(x, numbers=True)

    assert (said["code"], said["pointer"]) == ("out-of-range", "/inputs/1")
    assert to_do in said["detail"]


def test_overshoot_of_a_filter_is_in_range() -> None:
    x = drawn(1)
    x[0, 0, 0, :2] = -0.03, 1.04

    assert of_inputs(x, numbers=True) == []


def test_numbers_that_are_no_picture_have_no_range() -> None:
    assert of_inputs(np.full((2, 3), 1e6, np.float32), NUMBERS, numbers=True) == []


@pytest.mark.parametrize(
    "twin",
    ["x ", " x", "x\u00a0", "x\u200b", "\ufeffx", "x\u2060", "x\ufe0f", "\uff58"],
    ids=ascii,
)
def test_labels_that_look_alike_are_said(twin: str) -> None:
    [said] = of_support(["x", "y", twin])

    assert (said["code"], said["pointer"]) == ("twin-labels", "/support/targets/2")
    assert ascii(twin) in said["detail"]


@pytest.mark.parametrize("other", ["X", "x1", "é", "-x"])
def test_labels_that_are_seen_to_differ_are_two(other: str) -> None:
    assert of_support(["x", "e", other]) == []


def test_one_input_in_two_classes_is_said_with_both_and_in_one_class_is_not() -> None:
    x = drawn(5)
    x[3], x[4] = x[0], x[1]

    [said] = of_support(["stop", "go", "turn", "wait", "go"], x)

    assert (said["code"], said["pointer"]) == ("duplicate", "/support/inputs/3")
    assert "'stop'" in said["detail"]
    assert "'wait'" in said["detail"]


def test_one_class_far_larger_than_the_others_is_said() -> None:
    assert told(of_support([*"abc", *["b"] * 24])) == [("uneven-classes", "/support/targets/1")]
    assert of_support([*"abc", *["b"] * 9]) == []
    assert of_support(["a"] * 30 + ["b"] * 20) == []


def test_there_are_at_most_twenty_of_a_kind() -> None:
    assert len(of_inputs(np.zeros((50, 1, 28, 28), np.float32))) == 20
