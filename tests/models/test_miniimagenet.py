"""MiniImageNet from its three lists, here with 2 pictures of 8 classes."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.tasks.miniimagenet import load_miniimagenet

CLASSES = {"train": 3, "validation": 2, "test": 3}
LISTS = {"train": "train.csv", "validation": "val.csv", "test": "test.csv"}


def row(split: str, number: int, picture: int) -> list[str]:
    return [f"{split}{number}-{picture}.jpg", f"n{split}{number}"]


def small_copy(folder: Path) -> Path:
    """The layout of Ravi & Larochelle: lists with a header, and all pictures in one folder."""
    (folder / "images").mkdir(parents=True)
    for level, (split, classes) in enumerate(CLASSES.items()):
        rows = [row(split, n, p) for n in range(classes) for p in (0, 1)]
        for filename, _ in rows:
            grey = Image.new("RGB", (100, 90), (80 * level,) * 3)
            grey.save(folder / "images" / filename)
        write_list(folder / LISTS[split], [["filename", "label"], *rows])
    return folder


def write_list(file: Path, rows: list[list[str]]) -> None:
    with file.open("w", newline="") as text:
        csv.writer(text).writerows(rows)


def rewrite(name: str, change: Callable[[list[list[str]]], list[list[str]]]) -> object:
    """A damage: a list with its rows changed."""

    def damage(folder: Path) -> None:
        with (folder / name).open(newline="") as text:
            rows = list(csv.reader(text))
        write_list(folder / name, change(rows))

    return damage


def test_pictures_are_84_pixels_of_colour_in_the_split_of_the_lists(tmp_path: Path) -> None:
    loaded = load_miniimagenet(small_copy(tmp_path), classes=CLASSES, each=2)

    assert loaded.examples.shape == (16, 3, 84, 84)
    assert loaded.describe()["test_classes"] == ["ntest0", "ntest1", "ntest2"]
    of_split = {
        split: {int(loaded.examples[2 * c + i].float().mean().round()) for c in at for i in (0, 1)}
        for split, at in loaded.splits.items()
    }
    assert of_split == {"train": {0}, "validation": {80}, "test": {160}}


def test_pictures_are_shrunk_by_lanczos_without_inversion(tmp_path: Path) -> None:
    folder = small_copy(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (120, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "images" / "train0-0.jpg")

    loaded = load_miniimagenet(folder, classes=CLASSES, each=2)

    with Image.open(folder / "images" / "train0-0.jpg") as picture:
        expected = np.asarray(picture.resize((84, 84), Image.Resampling.LANCZOS))
    assert np.array_equal(loaded.examples[0].numpy(), expected.transpose(2, 0, 1))


def test_without_other_counts_it_has_to_be_the_whole_set(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train\.csv: expected 64 classes, got 3"):
        load_miniimagenet(small_copy(tmp_path))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "val.csv").unlink(), r"val\.csv is missing"),
        (lambda f: (f / "images" / "test1-0.jpg").unlink(), r"test1-0\.jpg is missing, and 0 more"),
        (lambda f: (f / "images").rename(f / "other"), r"is missing, and 15 more of 16"),
        (rewrite("val.csv", lambda rows: rows[1:]), r"val\.csv: expected the columns"),
        (rewrite("val.csv", lambda rows: [*rows, ["a.jpg"]]), r"and a label in row 6"),
        (rewrite("val.csv", lambda rows: [*rows, ["../a.jpg", "n"]]), r"and a label in row 6"),
        (rewrite("val.csv", lambda rows: []), r"val\.csv: expected the columns"),
        (
            rewrite("val.csv", lambda rows: [*rows, row("train", 0, 0)]),
            "expected 'ntrain0' in one split, got it in train and validation",
        ),
        (rewrite("val.csv", lambda rows: rows[:-2]), r"val\.csv: expected 2 classes, got 1"),
        (rewrite("val.csv", lambda rows: rows[:-1]), r"expected 2 of 'nvalidation1', got 1"),
        (
            rewrite("val.csv", lambda rows: [*rows[:-1], rows[-2]]),
            r"expected every picture once in the lists, got 'validation1-0\.jpg' again",
        ),
        (
            lambda f: (f / "images" / "test1-0.jpg").write_bytes(b"none"),
            r"test1-0\.jpg cannot be read",
        ),
    ],
)
def test_what_is_not_as_expected_is_named(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    folder = small_copy(tmp_path)
    damage(folder)

    with pytest.raises((ValueError, FileNotFoundError), match=said):
        load_miniimagenet(folder, classes=CLASSES, each=2)
