"""Tables that people bring: what is missing counts as nothing, names are columns of their own."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.inputs.examples import read_examples
from app.inputs.images import ImageLimits
from app.values.description import InputSpec
from models.tasks.features import load_features
from tests.models.test_own_data import features, write_npz

FEATURES = features(9, 6)
DRAW = np.random.default_rng(2)
X = DRAW.normal(3, 2, size=(54, 4)) * [1, 100, 1e-3, 1] + [0, 1e4, 0, 5]
Y = FEATURES["y"]
HOLES = np.where(DRAW.random((54, 4)) < [0.3, 0.3, 0, 0], np.nan, X)
NAMES = np.stack(
    [np.array(["red", "blue"])[Y % 2], np.array(["a", "b", "c"])[np.arange(54) % 3]], 1
)


def test_a_missing_number_is_the_mean_of_the_known_and_nothing_once_standardised(
    tmp_path: Path,
) -> None:
    loaded = load_features(write_npz(tmp_path / "mine.npz", x=HOLES, y=Y), standardise=True)

    trained = HOLES[np.isin(Y, loaded.splits["train"])]
    known = [column[~np.isnan(column)] for column in trained.T]
    noticed = loaded.supply().noticed
    assert noticed.centre == pytest.approx([column.mean() for column in known], rel=1e-6)
    assert noticed.scale == pytest.approx([column.std() for column in known], rel=1e-6)
    in_order = HOLES[np.argsort(Y, kind="stable")]
    standard = (loaded.examples - torch.tensor(noticed.centre)) / torch.tensor(noticed.scale)
    absent = torch.from_numpy(np.isnan(in_order))
    assert torch.equal(standard[absent], torch.zeros(int(absent.sum())))
    kept = ~absent.numpy()
    np.testing.assert_array_equal(loaded.examples.numpy()[kept], in_order[kept].astype(np.float32))


def test_what_is_missing_is_said_by_column_and_kept_for_serving(tmp_path: Path) -> None:
    loaded = load_features(write_npz(tmp_path / "mine.npz", x=HOLES, y=Y))

    [said] = loaded.supply().noticed.said
    counts = np.isnan(HOLES).sum(axis=0)
    assert said.startswith(
        f"x: {counts[0]} of 54 in column 0, {counts[1]} of 54 in column 1 are missing; "
    )
    assert loaded.preprocessing is not None
    assert loaded.preprocessing["kind"] == "numbers"
    trained = HOLES[np.isin(Y, loaded.splits["train"])]
    means = np.nanmean(trained, axis=0)
    np.testing.assert_allclose(loaded.preprocessing["missing"], means, rtol=1e-6)


def test_a_table_without_holes_or_names_needs_no_preprocessing(tmp_path: Path) -> None:
    loaded = load_features(write_npz(tmp_path / "mine.npz", x=X, y=Y))

    assert loaded.preprocessing is None
    assert loaded.supply().noticed.said == ()


@pytest.mark.parametrize("holes", [1, 6])
def test_at_most_five_columns_are_named(tmp_path: Path, holes: int) -> None:
    x = DRAW.normal(size=(54, 12))
    x[0, :holes] = np.nan

    [said] = load_features(write_npz(tmp_path / "mine.npz", x=x, y=Y)).supply().noticed.said

    assert said.count("of 54 in column") == min(holes, 5)
    assert ("and some in 1 more columns" in said) == (holes == 6)


def test_a_column_of_which_training_knows_nothing_is_refused(tmp_path: Path) -> None:
    split = np.array(["train", "validation", "test"])[Y % 3]
    x = np.where((split == "train")[:, None] & (np.arange(4) == 2), np.nan, X)

    with pytest.raises(ValueError, match="got none in column 2 of the training examples"):
        load_features(write_npz(tmp_path / "mine.npz", x=x, y=Y, split=split))


def test_names_stand_behind_the_numbers_one_column_each(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "mine.npz", x=HOLES, y=Y, categories=NAMES)

    loaded = load_features(file, standardise=True)

    order = np.argsort(Y, kind="stable")
    marks = np.stack([NAMES[order, 0] == "blue", NAMES[order, 0] == "red"], 1)
    thirds = np.stack([NAMES[order, 1] == name for name in "abc"], 1)
    expected = np.hstack([marks, thirds]).astype(np.float32)
    np.testing.assert_array_equal(loaded.examples.numpy()[:, 4:], expected)
    assert loaded.preprocessing is not None
    assert loaded.preprocessing["categories"] == [["blue", "red"], ["a", "b", "c"]]
    assert len(loaded.preprocessing["missing"]) == 4
    assert len(loaded.supply().noticed.scale) == 9


KNOWN = {
    "kind": "numbers",
    "missing": [1.5, -2.0, 0.25, 7.0],
    "categories": [["red", "green", "blue"], ["c", "a", "b"]],
}
NOTHING = {"kind": "numbers", "missing": None, "categories": None}


def test_other_rows_are_filled_and_marked_as_a_checkpoint_does_when_it_is_served(
    tmp_path: Path,
) -> None:
    rows = (Y < 4) | (Y > 5)
    file = write_npz(tmp_path / "o.npz", x=HOLES[rows], y=Y[rows], categories=NAMES[rows])

    loaded = load_features(file, preprocessing=KNOWN)

    holes, names = HOLES[rows], NAMES[rows]
    sent = [
        [*(None if np.isnan(number) else float(number) for number in row), *named.tolist()]
        for row, named in zip(holes, names, strict=True)
    ]
    spec = InputSpec(shape=(10,), preprocessing=KNOWN)
    served = read_examples(sent, spec, pointer="/inputs", limits=ImageLimits())
    in_order = served[np.argsort(Y[rows], kind="stable")]
    np.testing.assert_array_equal(loaded.examples.numpy(), in_order)


@pytest.mark.parametrize(
    ("arrays", "about", "said"),
    [
        ({"x": HOLES}, NOTHING, r"x: expected no NaN, as in training, got it at \[\d+, [01]\]"),
        ({"x": X, "categories": NAMES}, NOTHING, "categories: expected none, got 2"),
        ({"x": X}, KNOWN, "categories: expected 2 columns, as the checkpoint has, got none"),
        ({"x": X, "categories": NAMES[:, :1]}, KNOWN, "expected 2 columns, as the .*, got 1"),
        (
            {"x": X, "categories": np.where(NAMES == "b", "d", NAMES)},
            KNOWN,
            r"categories: the checkpoint does not know the name at \[1, 1\]",
        ),
    ],
)
def test_what_a_checkpoint_would_not_be_sent_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], about: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        load_features(write_npz(tmp_path / "o.npz", y=Y, **arrays), preprocessing=about)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (NAMES[:, 0], "expected names of the shape (54, columns) beside x"),
        (NAMES[1:], "expected names of the shape (54, columns) beside x"),
        (NAMES[:, :0], "expected names of the shape (54, columns) beside x"),
        (np.arange(108).reshape(54, 2), "expected strings, got the type int64; save"),
        (NAMES.astype(object), "categories: got Python objects; save categories.astype"),
    ],
)
def test_names_that_are_none_are_refused(tmp_path: Path, names: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        load_features(write_npz(tmp_path / "mine.npz", x=X, y=Y, categories=names))
