"""Support sets of numbers whose columns float32, or distances, cannot see."""

import numpy as np
import pytest

from app.inputs.columns import look_at_rounding, look_at_spread
from tests.border.refusals import refused

DRAWN = np.random.default_rng(4).normal(size=(10, 12))
STAMPS = 1.7e12 + 20 * np.arange(10.0)[:, None]  # milliseconds


def said_of(x: np.ndarray) -> list[tuple[str, str]]:
    """Code and detail of everything said of a support set that came as lists."""
    read = x.astype(np.float32)
    said = look_at_rounding(read, x.tolist(), "/i") + look_at_spread(read, "/i")
    assert all(warning["pointer"] == "/i" for warning in said)
    return [(warning["code"], warning["detail"]) for warning in said]


@pytest.mark.parametrize(
    "x",
    [
        DRAWN,
        DRAWN * 1e-30,
        DRAWN * 10.0 ** np.linspace(0, 1, 12),
        DRAWN + 1e4,
        DRAWN * (np.arange(12) < 6),
        np.hstack([DRAWN, np.full((10, 1), 1.7e12)]),
        np.hstack([DRAWN, 0.3 + 1e-17 * np.arange(10)[:, None]]),
        np.hstack([DRAWN[:, :1], 100 * DRAWN[:, 3:4]]),  # too few to say which is odd
        np.ones((10, 12)),
        DRAWN[:1],
    ],
)
def test_of_ordinary_vectors_nothing_is_said(x: np.ndarray) -> None:
    assert said_of(x) == []


@pytest.mark.parametrize("wide", [[11], [3, 7]])
def test_columns_that_outweigh_the_others_are_named(wide: list[int]) -> None:
    x = DRAWN.copy()
    x[:, wide] = 1.7e9 + 1e6 * x[:, wide]

    [(code, detail)] = said_of(x)

    assert code == "dominant-column"
    named = "column 11" if wide == [11] else "each of the columns 3, 7"
    assert detail.startswith(f"{named} outweighs all others")


def test_the_column_that_becomes_one_number_is_named() -> None:
    [(code, detail)] = said_of(np.hstack([DRAWN, STAMPS]))

    assert code == "indistinct-column"
    assert detail.startswith("column 12 cannot be told apart in float32; subtract an origin")


@pytest.mark.parametrize("x", [STAMPS, np.hstack([STAMPS, np.ones((10, 1)), STAMPS])])
def test_inputs_that_all_become_one_are_refused(x: np.ndarray) -> None:
    with refused("validation", "/i"):
        look_at_rounding(x.astype(np.float32), x.tolist(), "/i")


def test_numbers_that_stand_alone_or_behind_an_axis_are_looked_at() -> None:
    for given in (STAMPS[:, 0].tolist(), [[[stamp]] for stamp in STAMPS[:, 0].tolist()]):
        with refused("validation", "/i"):
            look_at_rounding(STAMPS.astype(np.float32), given, "/i")


def test_names_of_digits_are_no_numbers() -> None:
    given = [[0.5, "2020", str(year)] for year in range(2020, 2030)]
    read = np.hstack([np.full((10, 1), 0.5), np.ones((10, 2))])

    assert look_at_rounding(read.astype(np.float32), given, "/i") == []


@pytest.mark.parametrize("name", ["name", "7"])
def test_names_and_missing_numbers_among_them_are_passed_over(name: str) -> None:
    given = [[None, 0.5, stamp, name] for stamp in STAMPS[:, 0].tolist()]
    read = np.hstack([np.ones((10, 1)), DRAWN[:, :1], STAMPS, np.ones((10, 1))])

    [warning] = look_at_rounding(read.astype(np.float32), given, "/i")

    assert warning["detail"].startswith("column 2 cannot be told apart")
