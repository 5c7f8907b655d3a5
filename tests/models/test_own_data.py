"""People's own data: read as served, split by whole classes, refused by name."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.episodes import EpisodeShape, Noticed
from models.tasks.classes import LabelledExamples
from models.tasks.features import load_features
from models.tasks.opening import open_distribution
from models.tasks.pictures import load_pictures
from models.tasks.series import load_series
from models.tasks.splits import split_by_shares

Damage = Callable[[Path], object]
GREY = {"size": 8, "mode": "L"}


def flat(level: int, *, side: int = 8, mode: str = "L", form: str = "PNG") -> bytes:
    """A picture of one grey level."""
    file = io.BytesIO()
    Image.new(mode, (side, side), (level,) * len(mode) if len(mode) > 1 else level).save(file, form)
    return file.getvalue()


def write(file: Path, data: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def folder_of_levels(folder: Path, *, classes: int = 8, pictures: int = 3) -> Path:
    """Class c has ``pictures`` + c flat pictures; picture i of it is grey level 20 c + i."""
    for c in range(classes):
        for i in range(pictures + c):
            write(folder / f"class{c}" / f"{i:02}.png", flat(20 * c + i))
    return folder


def declared(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises so many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT"


def write_npz(file: Path, **arrays: object) -> Path:
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file


def features(classes: int = 8, each: int = 4) -> dict[str, np.ndarray]:
    """Example i of class c is (c, i, 0), in an order that mixes the classes."""
    rows = [(c, i, 0) for c in range(classes) for i in range(each)]
    order = np.random.default_rng(0).permutation(len(rows))
    x = np.array(rows, np.float64)[order]
    return {"x": x, "y": x[:, 0].astype(int)}


def test_pictures_are_what_pillow_makes_of_them(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    folder = folder_of_levels(tmp_path)
    Image.fromarray(noise).save(folder / "class0" / "00.png")

    loaded = load_pictures(folder, size=[8, 12], mode="RGB")

    expected = Image.fromarray(noise).resize((12, 8), Image.Resampling.LANCZOS)
    assert torch.equal(loaded.examples[0], torch.from_numpy(np.array(expected)).permute(2, 0, 1))


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 100}])
def test_webp_is_read_as_a_png_of_the_same_picture_is(
    tmp_path: Path, options: dict[str, object]
) -> None:
    folder = folder_of_levels(tmp_path)
    png = load_pictures(folder, **GREY)
    Image.new("L", (8, 8), 20).save(folder / "class1" / "00.png", "WEBP", **options)

    webp = load_pictures(folder, **GREY)

    assert (webp.examples.int() - png.examples.int()).abs().max() <= 1  # lossy by a grey level


def test_classes_may_have_unequal_numbers_of_pictures(tmp_path: Path) -> None:
    loaded = load_pictures(folder_of_levels(tmp_path), **GREY)
    shape = EpisodeShape(way=2, shot=1, query=2)

    drawn = loaded.draw("test", 50, shape, torch.Generator().manual_seed(0))

    assert loaded.counts == (3, 4, 5, 6, 7, 8, 9, 10)
    support, query = (
        (x[..., 0, 0, 0] * 255).round().long() for x in (drawn.support_x, drawn.query_x)
    )
    assert torch.equal((support // 20).gather(1, drawn.query_y), query // 20)
    tested = {f"class{c}" for c in (support // 20).unique().tolist()}
    assert sorted(tested) == loaded.describe()["test_classes"]
    for s, q in zip(support, query, strict=True):
        assert len({*s.tolist(), *q.tolist()}) == 2 * 3


def test_classes_may_lie_in_groups_and_what_hides_is_passed_over(tmp_path: Path) -> None:
    for number in range(6):
        for picture in (1, 2):
            write(tmp_path / f"group{number % 2}" / f"c{number}" / f"{picture}.jpg", flat(9))
    write(tmp_path / ".DS_Store", b"\0")
    write(tmp_path / "group0" / "c0" / "._1.jpg", b"\0")
    write(tmp_path / "group0" / "Thumbs.db", b"\0")

    loaded = load_pictures(tmp_path, **GREY)

    assert loaded.names == (
        "group0/c0", "group0/c2", "group0/c4", "group1/c1", "group1/c3", "group1/c5",
    )  # fmt: skip


def test_folders_named_as_the_splits_are_the_splits(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        for c in "ab":
            for picture in (1, 2):
                write(tmp_path / split / f"{split}-{c}" / f"{picture}.png", flat(1))

    loaded = load_pictures(tmp_path, **GREY)

    by_split = {s: [loaded.names[i] for i in found] for s, found in loaded.splits.items()}
    assert by_split == {s: [f"{s}-a", f"{s}-b"] for s in ("train", "validation", "test")}


def test_shares_split_the_same_names_alike_in_any_order() -> None:
    names = [f"class{number}" for number in range(40)]
    shares = {"validation": 0.15, "test": 0.2, "least": 2, "what": "classes"}

    one = split_by_shares(names, **shares, seed=1)  # type: ignore[arg-type]
    turned = split_by_shares(names[::-1], **shares, seed=1)  # type: ignore[arg-type]
    other = split_by_shares(names, **shares, seed=2)  # type: ignore[arg-type]

    assert {s: len(found) for s, found in one.items()} == {"train": 26, "validation": 6, "test": 8}
    assert sorted(i for found in one.values() for i in found) == list(range(40))
    for split, found in one.items():
        assert {names[i] for i in found} == {names[::-1][i] for i in turned[split]}
    assert one["test"] != other["test"]


def test_shares_go_by_the_sha256_of_seed_and_name() -> None:
    found = split_by_shares(
        list("abcdefgh"), validation=0.2, test=0.3, seed=1, least=2, what="classes"
    )

    # printf '1 %s' a | sha256sum, of each letter, in order: g c a b e f h d
    assert {split: "".join("abcdefgh"[i] for i in at) for split, at in found.items()} == {
        "test": "cg",
        "validation": "ab",
        "train": "defh",
    }


def test_a_second_reading_comes_from_the_copy(tmp_path: Path) -> None:
    folder, told = folder_of_levels(tmp_path / "data"), []

    first, second = (
        load_pictures(folder, cache=tmp_path / "cache", progress=told.append, **GREY)
        for _ in range(2)
    )

    assert told == [1] * sum(first.counts)
    assert torch.equal(first.examples, second.examples)


def changed_picture(folder: Path) -> None:
    file = folder / "class0" / "00.png"
    stamp = file.stat().st_mtime_ns
    file.write_bytes(flat(255))
    os.utime(file, ns=(stamp, stamp))


@pytest.mark.parametrize(
    "change",
    [
        changed_picture,
        lambda folder: (folder / "class0").rename(folder / "class0b"),
        lambda folder: (folder / "class7" / "00.png").unlink(),
    ],
)
def test_changed_data_are_read_again(tmp_path: Path, change: Damage) -> None:
    folder, cache = folder_of_levels(tmp_path / "data"), tmp_path / "cache"
    before = load_pictures(folder, cache=cache, **GREY)

    change(folder)
    after = load_pictures(folder, cache=cache, **GREY)

    assert after.digest != before.digest
    assert torch.equal(after.examples, load_pictures(folder, **GREY).examples)


def test_other_settings_do_not_get_the_copy(tmp_path: Path) -> None:
    folder, cache = folder_of_levels(tmp_path / "data"), tmp_path / "cache"
    plain = load_pictures(folder, cache=cache, **GREY)

    inverted = load_pictures(folder, cache=cache, invert=True, **GREY)

    assert torch.equal(inverted.examples, 255 - plain.examples)


def shape_on(ground: int, ink: int, folder: Path, *, noise: int = 0) -> Path:
    """Eight classes of a square of ink on a ground of one grey level, or a noisy one."""
    draw = np.random.default_rng(3)
    for c in range(8):
        for i in range(3):
            levels = np.full((16, 16), ground)
            levels[4 + i : 9 + i, 3:13] = ink
            levels = (levels + draw.integers(-noise, noise + 1, levels.shape)).clip(0, 255)
            file = folder / f"class{c}" / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(levels.astype(np.uint8)).save(file)
    return folder


@pytest.mark.parametrize(
    ("ground", "ink", "noise", "inverted"),
    [(255, 0, 0, True), (230, 90, 20, True), (0, 255, 0, False), (140, 250, 0, False),
     (140, 120, 120, False), (200, 200, 0, False)],
)  # fmt: skip
def test_dark_on_light_is_seen_where_invert_is_left_open(
    tmp_path: Path, ground: int, ink: int, noise: int, inverted: bool
) -> None:
    folder = shape_on(ground, ink, tmp_path, noise=noise)

    seen = load_pictures(folder, **GREY)

    told = load_pictures(folder, invert=inverted, **GREY)
    assert torch.equal(seen.examples, told.examples)
    assert seen.preprocessing == told.preprocessing
    assert seen.supply().noticed.settings == {"invert": inverted}
    repeated = told.supply().noticed
    assert repeated == Noticed(said=repeated.said)  # without noise all classes look alike
    assert len(seen.supply().noticed.said) == inverted + len(repeated.said)


def test_the_pictures_for_testing_have_no_say_in_the_polarity(tmp_path: Path) -> None:
    folder = shape_on(0, 255, tmp_path)
    for name in load_pictures(folder, **GREY).describe()["test_classes"]:  # type: ignore[attr-defined]
        for file in (folder / name).iterdir():
            Image.new("L", (16, 16), 255).save(file)

    assert load_pictures(folder, **GREY).supply().noticed.settings == {"invert": False}


def test_a_damaged_copy_is_made_anew(tmp_path: Path) -> None:
    folder, cache = folder_of_levels(tmp_path / "data"), tmp_path / "cache"
    first = load_pictures(folder, cache=cache, **GREY)
    [copy] = cache.iterdir()
    copy.write_bytes(copy.read_bytes()[:-200])

    again = load_pictures(folder, cache=cache, **GREY)

    assert torch.equal(again.examples, first.examples)


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: write(f / "class3" / "note.txt", b"hello"), r"class3/note\.txt cannot be read"),
        (lambda f: write(f / "class3" / "x.png", b""), r"class3/x\.png .*got an empty file"),
        (lambda f: write(f / "class3" / "x.png", flat(1, form="GIF")), r"x\.png .*got a GIF"),
        (
            lambda f: write(f / "class3" / "x.png", flat(1, side=99)[:80]),
            r"class3/x\.png .*cut off",
        ),
        (
            lambda f: write(f / "class3" / "x.jpg", flat(1, form="JPEG")[:200]),
            r"class3/x\.jpg .*cut off",
        ),
        (
            lambda f: write(f / "class3" / "x.png", declared(30_000, 30_000)),
            r"class3/x\.png .*at most 8192 pixels a side .*, got 30000 x 30000",
        ),
        (lambda f: (f / "class9").mkdir(), r"class9: expected at least 2 pictures, got 0"),
        (lambda f: write(f / "class9" / "1.png", flat(1)), r"class9: .*2 pictures, got 1"),
        (lambda f: write(f / "1.png", flat(1)), r"1\.png: expected a folder of a class"),
        (lambda f: write(f / "class3" / "in" / "1.png", flat(1)), r"class3/\d+\.png: expected a"),
        (
            lambda f: [(f / f"class{c}").rename(f.parent / str(c)) for c in range(3)],
            r"at least 6 classes, 2 or more in each of .*; got 1 train, 2 validation, 2 test",
        ),
    ],
)
def test_a_folder_that_is_not_as_expected_is_refused_by_name(
    tmp_path: Path, damage: Damage, said: str
) -> None:
    folder = folder_of_levels(tmp_path / "data")
    damage(folder)

    with pytest.raises(ValueError, match=said):
        load_pictures(folder, **GREY)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([("train", "a"), ("test", "b")], "expected train, validation, test or folders of classes"),
        (
            [("train", "a"), ("validation", "a"), ("test", "b")],
            "expected 'a' in one split, got it in train and validation",
        ),
        ([("train", "a"), ("validation", "b"), ("test", "c")], "got 1 train, 1 validation, 1 test"),
    ],
)
def test_splits_of_a_folder_that_leak_or_lack_are_refused(
    tmp_path: Path, names: list[tuple[str, str]], said: str
) -> None:
    for split, name in names:
        for picture in (1, 2):
            write(tmp_path / split / name / f"{picture}.png", flat(1))

    with pytest.raises(ValueError, match=said):
        load_pictures(tmp_path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": 0}, "size: expected pixels"),
        ({"size": [8, 8, 8]}, "size: expected pixels"),
        ({"size": 10_000}, "size: expected pixels"),
        ({"mode": "CMYK"}, "mode: expected 'L' or 'RGB'"),
        ({"resample": "nearest"}, "resample: expected one of lanczos, bilinear"),
        ({"invert": 1}, "invert: expected true or false"),
        ({"background": 300}, "background: expected a grey level"),
        ({"validation": 0.6, "test": 0.5}, "expected shares"),
        ({"sise": 28}, "'pictures': .*sise"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named(
    tmp_path: Path, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        open_distribution({"name": "pictures", **settings}, folder=folder_of_levels(tmp_path))


@pytest.mark.parametrize("name", ["pictures", "features", "series", "miniimagenet", "omniglot"])
def test_data_that_are_not_there_are_said_to_be_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match="--data"):
        open_distribution({"name": name}, folder=None)
    with pytest.raises(FileNotFoundError):
        open_distribution({"name": name}, folder=tmp_path / "nowhere")


def test_features_are_drawn_with_the_classes_they_have_in_the_file(tmp_path: Path) -> None:
    given = features()
    loaded = load_features(write_npz(tmp_path / "mine.npz", **given))
    shape = EpisodeShape(way=2, shot=1, query=3)

    drawn = loaded.draw("train", 40, shape, torch.Generator().manual_seed(0))

    classes = drawn.support_x[..., 0].long()
    assert torch.equal(classes.gather(1, drawn.query_y), drawn.query_x[..., 0].long())
    rows = {tuple(row) for row in given["x"].tolist()}
    seen = torch.cat([drawn.support_x, drawn.query_x], dim=1).flatten(0, 1).tolist()
    assert {tuple(row) for row in seen} <= rows
    for episode in torch.cat([drawn.support_x, drawn.query_x], dim=1):
        assert len({tuple(row) for row in episode.tolist()}) == 2 * 4


def test_the_spread_of_features_is_that_of_the_training_classes_alone(tmp_path: Path) -> None:
    given = features(9)
    given["x"] = given["x"] * [1.0, 5.0, 0.0] + [0.0, 300.0, 7.0]
    file = write_npz(tmp_path / "mine.npz", **given)

    loaded = load_features(file, standardise=True)

    trained = given["x"][np.isin(given["y"], loaded.splits["train"])]
    noticed = loaded.supply().noticed
    assert noticed.centre == pytest.approx(trained.mean(axis=0))
    whole = np.sqrt((trained.std(axis=0) ** 2).mean())  # for the number that never differs
    assert noticed.scale == pytest.approx([*trained.std(axis=0)[:2], whole])
    assert load_features(file).supply().noticed == Noticed()


def test_the_spread_of_series_is_that_of_all_training_points(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(3, 2, size=(10, 6, 2))
    file = write_npz(tmp_path / "series.npz", x=x, y=x[:, :, :1])

    loaded = load_series(file, standardise=True)

    trained = x[loaded.splits["train"]]
    assert loaded.supply().noticed.centre == pytest.approx(trained.mean(axis=(0, 1)))
    assert loaded.supply().noticed.scale == pytest.approx(trained.std(axis=(0, 1)))


def test_features_take_the_splits_that_their_file_tells(tmp_path: Path) -> None:
    given = features(6)
    told = np.array(["test", "train", "validation"])[given["y"] % 3]
    names = np.array([f"c{c}" for c in given["y"]])
    file = write_npz(tmp_path / "mine.npz", x=given["x"], y=names, split=told)

    loaded = load_features(file)

    by_split = {s: [loaded.names[i] for i in found] for s, found in loaded.splits.items()}
    assert by_split == {"test": ["c0", "c3"], "train": ["c1", "c4"], "validation": ["c2", "c5"]}
    assert loaded.describe()["test_classes"] == ["c0", "c3"]


def with_one(array: np.ndarray, value: float) -> np.ndarray:
    """The array with one other value, as float64."""
    changed = array.astype(np.float64)
    changed[3, 1] = value
    return changed


X, Y = features()["x"], features()["y"]
SPLIT = np.array(["train", "validation", "test", "train"] * 2)[Y]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": X}, "expected the arrays x, y and perhaps categories, split, got x"),
        ({"x": X, "y": Y, "z": Y}, "got x, y, z"),
        ({"x": with_one(X, -np.inf), "y": Y}, r"x: expected finite float32 .* at \[3, 1\]"),
        ({"x": with_one(X, 1e39), "y": Y}, r"x: expected finite float32 .* at \[3, 1\]"),
        ({"x": X.astype(str), "y": Y}, "x: expected numbers, got the type <U"),
        ({"x": X[:, 0], "y": Y}, r"x: expected the shape \(examples, features\), got \(32,\)"),
        ({"x": X, "y": Y[:-1]}, r"y: expected the shape \(32,\), got \(31,\)"),
        ({"x": X, "y": Y.astype(float)}, "y: expected whole numbers or strings"),
        ({"x": X, "y": Y.astype(object)}, "y: got Python objects; save y.astype"),
        ({"x": X[:5], "y": np.array([0, 0, 1, 1, 2])}, "class '2': expected at least 2 examples"),
        ({"x": X[Y < 5], "y": Y[Y < 5]}, "expected at least 6 classes"),
        ({"x": X, "y": Y, "split": np.roll(SPLIT, 1)}, "expected '.' in one split, got it in"),
        ({"x": X, "y": Y, "split": np.full(32, "val")}, "expected the splits train, .* got 'val'"),
        ({"x": X, "y": Y, "split": np.full(32, "train")}, "got 8 train, 0 validation, 0 test"),
    ],
)
def test_features_that_are_not_as_expected_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        load_features(write_npz(tmp_path / "mine.npz", **arrays))


def test_a_file_that_is_no_npz_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mine\.npz: expected an \.npz file"):
        load_features(write(tmp_path / "mine.npz", b"\x80\x04."))
    cut = write_npz(tmp_path / "cut.npz", **features()).read_bytes()
    with pytest.raises(ValueError, match=r"cut\.npz"):
        load_features(write(tmp_path / "cut.npz", cut[: len(cut) // 2]))


def lines(tasks: int = 9, points: int = 12) -> dict[str, np.ndarray]:
    """Task k is y = (k x, k): its slope tells it."""
    x = np.random.default_rng(0).uniform(1, 2, (tasks, points))
    slopes = np.arange(tasks)[:, None] * np.ones((1, points))
    return {"x": x, "y": np.stack([slopes * x, slopes], axis=2)}


def test_an_episode_of_series_is_points_of_one_task_and_no_point_twice(tmp_path: Path) -> None:
    loaded = load_series(write_npz(tmp_path / "series.npz", **lines()))
    shape = EpisodeShape(way=1, shot=5, query=7)

    drawn = loaded.draw("train", 60, shape, torch.Generator().manual_seed(0))

    x = torch.cat([drawn.support_x, drawn.query_x], dim=1)[..., 0]
    y = torch.cat([drawn.support_y, drawn.query_y], dim=1)
    slopes = y[:, 0, 1]
    assert drawn.outputs == 2
    assert drawn.support_x.shape == (60, 5, 1)
    assert drawn.query_y.shape == (60, 7, 2)
    torch.testing.assert_close(y[..., 0], slopes[:, None] * x)  # all points of one line
    assert sorted(slopes.unique().long().tolist()) == loaded.splits["train"]
    assert all(len(row.unique()) == 12 for row in x)


def test_series_take_vectors_and_a_split(tmp_path: Path) -> None:
    x, y = np.zeros((3, 4, 5), np.float32), np.zeros((3, 4))
    split = np.array(["test", "validation", "train"])

    loaded = load_series(write_npz(tmp_path / "series.npz", x=x, y=y, split=split))

    assert (loaded.supply().input_shape, loaded.supply().outputs) == ((5,), 1)
    assert loaded.splits == {"test": [0], "validation": [1], "train": [2]}


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.zeros((3, 4)), np.zeros((3, 5)), r"same tasks and points, got \(3, 4\) and \(3, 5\)"),
        (np.zeros(4), np.zeros(4), r"x: expected the shape \(tasks, points\)"),
        (np.zeros((3, 1)), np.zeros((3, 1)), "at least 2 points in each task, got 1"),
        (np.zeros((2, 4)), np.zeros((2, 4)), "expected at least 3 tasks"),
        (np.zeros((3, 4)), np.full((3, 4), np.inf), r"y: expected finite .* at \[0, 0, 0\]"),
        (np.zeros((0, 4)), np.zeros((0, 4)), "x: expected the shape"),
        (np.zeros((3, 4), bool), np.zeros((3, 4)), "x: expected numbers, got the type bool"),
    ],
)
def test_series_that_are_not_as_expected_are_refused(
    tmp_path: Path, x: np.ndarray, y: np.ndarray, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        load_series(write_npz(tmp_path / "series.npz", x=x, y=y))


def test_more_points_than_a_task_has_are_refused(tmp_path: Path) -> None:
    loaded = load_series(write_npz(tmp_path / "series.npz", **lines(points=12)))

    with pytest.raises(ValueError, match=r"at least 6 \+ 7 points in each task, got 12"):
        loaded.draw("train", 1, EpisodeShape(way=1, shot=6, query=7), torch.Generator())


def test_a_distorted_picture_repeats_its_border_where_it_is_asked_to() -> None:
    white = LabelledExamples(
        name="white",
        examples=torch.full((4, 1, 8, 8), 255, dtype=torch.uint8),
        counts=(2, 2),
        names=("a", "b"),
        splits={"train": [0, 1]},
        digest="",
        distort=1.0,
        beyond="border",
    )

    drawn = white.draw(
        "train", 9, EpisodeShape(way=2, shot=1, query=1), torch.Generator(), augment=True
    )

    torch.testing.assert_close(drawn.support_x, torch.ones_like(drawn.support_x))
