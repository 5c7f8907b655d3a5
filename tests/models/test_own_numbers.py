"""Numbers that people bring: what float32 cannot hold, and types that are no numbers."""

import io
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy._core.multiarray import _reconstruct

from models.tasks.features import load_features
from models.tasks.series import load_series
from tests.models.test_own_data import features, write_npz

FEATURES = features()
X, Y = FEATURES["x"], FEATURES["y"]
GRID = 20 * np.arange(64) + np.arange(9)[:, None] * 86_400_000  # ms: 64 points a day of 9
VALUES = np.sin(np.arange(9 * 64).reshape(9, 64))


def objects(*rows: object) -> np.ndarray:
    made = np.empty(len(rows), object)
    made[:] = rows
    return made


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (1.7e12 + GRID, "64 different numbers in column 0 of task 0 become 1; subtract"),
        (1_700_000_000_000 + GRID, "64 different numbers in column 0 of task 0 become 1"),
        (1_700_000_000_000_000_000 + GRID, ".* column 0 of task 0 become 1; subtract"),
        (np.stack([GRID / 1e9, 1.7e9 + GRID / 1e3], axis=2), ".* in column 1 of task 0 become 1"),
        (GRID * 1e-60, "64 different numbers in column 0 of task 0 become 1; multiply"),
        (np.where(np.arange(9)[:, None] == 4, 1.7e12, 0) + GRID % 2000, ".* column 0 of task 4"),
    ],
)
def test_points_that_become_one_in_float32_are_refused(
    tmp_path: Path, x: np.ndarray, said: str
) -> None:
    with pytest.raises(ValueError, match=f"cannot be told apart in float32: {said}"):
        load_series(write_npz(tmp_path / "series.npz", x=x, y=VALUES))


def test_values_that_become_one_in_float32_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="y cannot be told apart in float32: 64 different"):
        load_series(write_npz(tmp_path / "series.npz", x=GRID % 2000, y=VALUES + 1e12))


def test_a_column_of_features_that_becomes_one_number_is_refused(tmp_path: Path) -> None:
    x = np.hstack([X, 1.7e18 + np.arange(len(X))[:, None] * 1e6])

    with pytest.raises(ValueError, match="32 different numbers in column 3 become 1; subtract"):
        load_features(write_npz(tmp_path / "mine.npz", x=x, y=Y))


@pytest.mark.parametrize(
    "x",
    [
        1.7e9 + 60 * np.arange(64) + np.zeros((9, 1)),  # 64 minutes in seconds, to 128 s
        np.full(GRID.shape, 1.7e12),
        0.1 + 1e-17 * GRID % 3,
        np.random.default_rng(0).uniform(size=GRID.shape),
        np.random.default_rng(0).normal(size=GRID.shape).astype(np.float32) + np.float32(1e6),
        GRID % 2000,
    ],
)
def test_points_that_float32_tells_apart_or_that_never_differ_are_taken(
    tmp_path: Path, x: np.ndarray
) -> None:
    loaded = load_series(write_npz(tmp_path / "series.npz", x=x, y=VALUES))

    np.testing.assert_array_equal(loaded.x.numpy()[..., 0], x.astype(np.float32))


def test_a_column_of_another_unit_leaves_the_others_their_spread(tmp_path: Path) -> None:
    x = np.hstack([X, 1e12 * np.random.default_rng(0).uniform(size=(len(X), 1))])

    loaded = load_features(write_npz(tmp_path / "mine.npz", x=x, y=Y), standardise=True)

    trained = x[np.isin(Y, loaded.splits["train"])]
    scale = np.array(loaded.supply().noticed.scale)
    np.testing.assert_allclose(scale[[0, 1, 3]], trained.std(axis=0)[[0, 1, 3]], rtol=1e-5)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (X.astype(bool), "x.astype(float)"),
        (X + 1j, "np.stack([x.real, x.imag], axis=-1)"),
        (X.astype("datetime64[s]"), "(x - x.min()) / np.timedelta64(1, 's')"),
        (X.astype("timedelta64[s]"), "x / np.timedelta64(1, 's')"),
        (X.astype(str), "x.astype(float)"),
        (X.astype("S8"), "x.astype(float)"),
        (X.astype(object), "x: got Python objects; save x.astype(float)"),
        (np.where(X == 7, None, X), "np.nan where a number is missing"),
        (objects(*X[:5], X[5, :2], *X[6:]), "np.stack(x) if they are rows, all of one length"),
    ],
)
def test_vectors_of_another_type_are_refused_with_what_makes_them_numbers(
    tmp_path: Path, array: np.ndarray, said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        load_features(write_npz(tmp_path / "mine.npz", x=array, y=Y))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (Y.astype(str).astype(object), "y.astype(str) if they are names"),
        (Y.astype(float), "got the type float64; save y.astype(int)"),
        (Y.astype(bool), "save y.astype(str)"),
        (Y.astype("S2"), "save y.astype(str)"),
        (Y.astype("datetime64[D]"), "save y.astype(str)"),
    ],
)  # fmt: skip
def test_classes_of_another_type_are_refused_with_what_makes_them_names(
    tmp_path: Path, array: np.ndarray, said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        load_features(write_npz(tmp_path / "mine.npz", x=X, y=array))


def test_ragged_series_are_refused(tmp_path: Path) -> None:
    ragged = objects(*(np.arange(12.0)[: 12 - (row in (2, 7))] for row in range(9)))

    with pytest.raises(ValueError, match=r"x: got Python objects; .* rows, all of one length"):
        load_series(write_npz(tmp_path / "series.npz", x=ragged, y=ragged))


def test_a_pickle_that_would_run_something_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    with pytest.raises(ValueError, match="y: got Python objects; save"):
        load_features(write_npz(tmp_path / "mine.npz", x=X, y=objects(*[Bomb()] * len(X))))

    assert not (tmp_path / "ran").exists()


def test_a_pickle_that_forges_a_type_of_numpy_reaches_no_memory(tmp_path: Path) -> None:
    class Pointers:
        """One object in eight bytes, said to be none, so that any bytes are taken for its place."""

        def __reduce__(self) -> tuple[object, ...]:
            field = {"a": (np.dtype(object), 0)}
            return np.dtype, ("V8", False, True), (3, "|", None, ("a",), field, 8, 1, 0)

    class Forged:
        def __reduce__(self) -> tuple[object, ...]:
            nowhere = (0x41414141).to_bytes(8, "little")
            return _reconstruct, (np.ndarray, (0,), b"b"), (1, (1,), Pointers(), False, nowhere)

    file, header = tmp_path / "mine.npz", io.BytesIO()
    about = {"descr": "|O", "fortran_order": False, "shape": (1,)}
    np.lib.format.write_array_header_1_0(header, about)
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("x.npy", "y.npy"):
            archive.writestr(name, header.getvalue() + pickle.dumps(Forged(), 3))

    read = (
        "import pathlib, sys; from models.tasks.features import load_features; "
        "load_features(pathlib.Path(sys.argv[1]))"
    )
    ended = subprocess.run([sys.executable, "-c", read, file], capture_output=True, text=True)

    assert ended.returncode == 1  # -11: the process itself was killed
    assert "ValueError" in ended.stderr
    assert "x: got Python objects; save" in ended.stderr


def test_points_that_hardly_differ_within_a_task_are_said_to(tmp_path: Path) -> None:
    days = np.arange(9)[:, None] * 86_400.0
    x = np.stack([days + np.arange(64), np.zeros((9, 1)) + np.arange(64)], axis=2)

    loaded = load_series(write_npz(tmp_path / "series.npz", x=x, y=VALUES), standardise=True)

    [said] = loaded.supply().noticed.said
    assert said.startswith("x: within a task, column 0 differs by less than a hundredth")
