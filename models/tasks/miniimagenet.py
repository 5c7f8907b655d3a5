"""MiniImageNet (Vinyals et al. 2016) in the split of Ravi & Larochelle 2017: 64, 16 and 20 classes
of 600 pictures, 84 x 84 in colour as in Finn et al. 2017.

    train.csv, val.csv, test.csv (filename,label), and images/ with the files that they name
"""

import csv
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from models.episodes import Noticed
from models.tasks.classes import LabelledExamples
from models.tasks.picture_files import picture_spec, read_pictures
from models.tasks.splits import split_as_told

LISTS = {"train": "train.csv", "validation": "val.csv", "test": "test.csv"}
CLASSES = {"train": 64, "validation": 16, "test": 20}
PICTURES = 600
COLUMNS = ["filename", "label"]

Rows = list[tuple[str, str]]  # filename, label


def load_miniimagenet(
    folder: Path,
    *,
    cache: Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
    mirror: bool = False,
    distort: float = 0.0,
    classes: Mapping[str, int] = CLASSES,
    each: int = PICTURES,
) -> LabelledExamples:
    """MiniImageNet from its folder; ``cache`` keeps the shrunken pictures (1 GB).

    mirror, distort: what training adds; classes and each: how many there are, for a smaller copy.

    Raises FileNotFoundError where a list or a picture is missing, ValueError where they are not as
    expected.
    """
    lists = {split: read_list(folder / name) for split, name in LISTS.items()}
    labels = {split: sorted({label for _, label in rows}) for split, rows in lists.items()}
    told = [(label, split) for split, found in labels.items() for label in found]
    splits = split_as_told(told, least=1, what="classes")
    _check_counts(lists, classes, each)
    spec = picture_spec(size=84, mode="RGB", resample="lanczos", invert=False, background=255)
    examples, digest, said = read_pictures(
        _files(folder / "images", lists, told),
        spec,
        name="miniimagenet",
        cache=cache,
        progress=progress,
    )
    return LabelledExamples(
        name="miniimagenet",
        examples=examples,
        counts=(each,) * len(told),
        names=tuple(label for label, _ in told),
        splits=splits,
        digest=f"sha256:{digest}",
        preprocessing=spec,
        mirror=mirror,
        distort=distort,
        beyond="border",
        noticed=Noticed(said=said),
    )


def read_list(file: Path) -> Rows:
    """The rows of one list. Raises as ``load_miniimagenet``."""
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: expected {', '.join(LISTS.values())}")
    with file.open(newline="", encoding="utf-8-sig") as text:
        header, *rows = [row for row in csv.reader(text) if row] or [[]]
    if header != COLUMNS:
        raise ValueError(f"{file}: expected the columns {','.join(COLUMNS)}, got {header}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(COLUMNS) or "/" in row[0] or not all(row):
            raise ValueError(f"{file}: expected a file's name and a label in row {number}")
    return [(filename, label) for filename, label in rows]


def _check_counts(lists: Mapping[str, Rows], classes: Mapping[str, int], each: int) -> None:
    for split, rows in lists.items():
        counts: dict[str, int] = {}
        for _, label in rows:
            counts[label] = counts.get(label, 0) + 1
        if len(counts) != classes[split]:
            raise ValueError(
                f"{LISTS[split]}: expected {classes[split]} classes, got {len(counts)}"
            )
        for label, count in counts.items():
            if count != each:
                raise ValueError(f"{LISTS[split]}: expected {each} of {label!r}, got {count}")


def _files(images: Path, lists: Mapping[str, Rows], told: list[tuple[str, str]]) -> dict[str, Path]:
    """The files of each class after the other, by label and filename. All of them are there."""
    members: dict[str, list[str]] = {label: [] for label, _ in told}
    for rows in lists.values():
        for filename, label in rows:
            members[label].append(filename)
    named = [(label, filename) for label, names in members.items() for filename in sorted(names)]
    filenames = Counter(filename for _, filename in named)
    [(often, times)] = filenames.most_common(1)
    if times > 1:
        raise ValueError(f"expected every picture once in the lists, got {often!r} again")
    there = {file.name for file in images.iterdir()} if images.is_dir() else set()
    missing = [filename for filename in filenames if filename not in there]
    if missing:
        raise FileNotFoundError(
            f"{images / missing[0]} is missing, and {len(missing) - 1} more of {len(filenames)}"
        )
    return {f"{label}/{filename}": images / filename for label, filename in named}
