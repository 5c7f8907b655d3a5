"""An example that is there twice is said at training time, with both its names."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from models.tasks.features import load_features
from models.tasks.miniimagenet import load_miniimagenet
from models.tasks.pictures import load_pictures
from models.tasks.series import load_series
from tests.models.test_miniimagenet import CLASSES, small_copy
from tests.models.test_own_data import features, flat, folder_of_levels, write, write_npz


def pictures_said(folder: Path) -> tuple[str, ...]:
    return load_pictures(folder, size=8, mode="L", invert=False).supply().noticed.said


def test_data_without_repeated_examples_say_nothing(tmp_path: Path) -> None:
    curves = np.arange(40.0).reshape(8, 5)

    assert pictures_said(folder_of_levels(tmp_path / "pictures")) == ()
    assert load_features(write_npz(tmp_path / "f.npz", **features())).noticed.said == ()
    assert load_series(write_npz(tmp_path / "s.npz", x=curves * 0, y=curves)).noticed.said == ()


def test_a_picture_in_two_classes_is_said_with_both_names(tmp_path: Path) -> None:
    folder = folder_of_levels(tmp_path)
    shutil.copy(folder / "class1" / "00.png", folder / "class6" / "copy.png")

    assert pictures_said(folder) == (
        "warning: the same picture is in two classes: class1/00.png and class6/copy.png; "
        "no answer to it is right",
    )


def test_a_picture_twice_in_a_class_is_said_apart(tmp_path: Path) -> None:
    folder = folder_of_levels(tmp_path)
    for name in "abcde":
        shutil.copy(folder / "class1" / "00.png", folder / "class1" / f"x{name}.png")
    shutil.copy(folder / "class2" / "00.png", folder / "class3" / "y.png")

    two, twice = pictures_said(folder)

    assert "class2/00.png and class3/y.png;" in two
    assert twice == (
        "warning: the same picture is there twice: class1/00.png and class1/xa.png, class1/00.png "
        "and class1/xb.png, class1/00.png and class1/xc.png and 2 more; scores count it as new"
    )


def test_the_same_look_in_other_bytes_is_another_picture(tmp_path: Path) -> None:
    folder = folder_of_levels(tmp_path)
    write(folder / "class6" / "copy.jpg", flat(20, form="JPEG"))  # class1/00.png is grey 20

    assert pictures_said(folder) == ()


def test_the_picture_lists_of_miniimagenet_are_looked_at_too(tmp_path: Path) -> None:
    folder = small_copy(tmp_path)

    said = load_miniimagenet(folder, classes=CLASSES, each=2).noticed.said

    assert [line.partition(":")[2].partition(":")[0] for line in said] == [
        " the same picture is in two classes",
        " the same picture is there twice",
    ]


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_equal_vectors_of_two_classes_are_said_by_row_and_class(
    tmp_path: Path, zero: float
) -> None:
    given = features()
    given["x"][7] = [*given["x"][20][:2], zero]
    labels = np.array([f"c{label}" for label in given["y"]])
    labels[7], labels[20] = "c1", "c2"

    said = load_features(write_npz(tmp_path / "f.npz", x=given["x"], y=labels)).noticed.said

    assert said == (
        "warning: the same vector is in two classes: row 7 c1 and row 20 c2; "
        "no answer to it is right",
    )


def test_equal_vectors_of_one_class_are_said_beside_its_spread(tmp_path: Path) -> None:
    given = features()
    first, second = np.flatnonzero(given["y"] == 3)[:2]
    given["x"][second] = given["x"][first]

    noticed = load_features(write_npz(tmp_path / "f.npz", **given), standardise=True).noticed

    assert len(noticed.centre) == 3
    assert noticed.said == (
        f"warning: the same vector is there twice: row {first} 3 and row {second} 3; "
        "scores count it as new",
    )


def test_a_curve_that_is_there_twice_is_said_by_its_rows(tmp_path: Path) -> None:
    curves = np.random.default_rng(0).normal(size=(8, 5))
    places = np.tile(np.arange(5.0), (8, 1))
    curves[6] = curves[2]

    said = load_series(write_npz(tmp_path / "s.npz", x=places, y=curves)).noticed.said

    assert said == (
        "warning: the same curve is there twice: row 2 and row 6; scores count it as new",
    )
