"""A folder of pictures as few-shot classes: every folder that holds pictures is a class.

    signs/stop/1.png, signs/stop/2.jpg, signs/yield/1.png, …

A class is named by its path below the data folder (``signs/stop``), so classes may lie in groups.
Where the data folder holds ``train``, ``validation`` and ``test`` and nothing else, they are the
splits; else whole classes are split by shares. What begins with a dot is not looked at.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.episodes import Noticed
from models.pictures.inputs import AS_IS, DRAWN, PREPARATIONS, preparation_settings
from models.tasks.arrays import in_classes
from models.tasks.classes import LabelledExamples
from models.tasks.picture_files import is_dark_on_light, picture_spec, read_pictures
from models.tasks.preparing import notice_preparation
from models.tasks.splits import SPLITS, Splits, split_as_told, split_by_shares

AUTO = "auto"  # the preparation that suits the training pictures
LEAST_CLASSES = 2  # of every split; to tell apart
LEAST_PICTURES = 2  # of every class; one to learn from and one to ask about
LEFT_BY_OTHERS = {"Thumbs.db", "desktop.ini", "__MACOSX"}
SPLIT_LIKE = {*SPLITS, "val", "valid", "dev"}

Classes = dict[str, list[Path]]


def load_pictures(
    folder: Path,
    *,
    cache: Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
    preparation: str = AS_IS,
    stroke: object = None,
    turns: bool = False,
    mirror: bool = False,
    distort: float = 0.0,
    validation: float = 0.15,
    test: float = 0.2,
    split_seed: int = 1,
    **picture: Any,
) -> LabelledExamples:
    """The classes below a folder; ``cache`` keeps the shrunken pictures, by their content.

    preparation ``auto``: ``models/tasks/preparing.py``; turns, mirror, distort:
    ``LabelledExamples``; validation, test, split_seed: ``split_by_shares``, where the folder has no
    splits of its own; picture: ``picture_spec``, and where invert is left open it is true for
    training pictures that are dark on light. Raises FileNotFoundError where there is no such
    folder, ValueError with the file or class that is not as expected.
    """
    spec = picture_spec(**picture)
    classes, told = find_classes(folder)
    splits = _splits(classes, told, {"validation": validation, "test": test, "seed": split_seed})
    each = list(classes.values())
    suits = _preparation(preparation, stroke, spec, [each[i] for i in splits["train"]])
    spec |= suits.settings
    examples, digest, said = read_pictures(
        _files(classes), spec, name="pictures", cache=cache, progress=progress
    )
    counts = tuple(map(len, classes.values()))
    is_open = picture.get("invert") is None and spec.get("preparation") not in DRAWN
    noticed = _polarity(examples, counts, splits) if is_open else Noticed()
    settings, said = suits.settings | noticed.settings, (*suits.said, *noticed.said, *said)
    return LabelledExamples(
        name="pictures",
        examples=255 - examples if noticed.settings.get("invert") else examples,
        counts=counts,
        names=tuple(classes),
        splits=splits,
        digest=f"sha256:{digest}",
        preprocessing=spec | noticed.settings,
        turns=turns,
        mirror=mirror,
        distort=distort,
        beyond="border",
        noticed=Noticed(settings=settings, said=said),
    )


def _preparation(
    named: str, stroke: object, spec: dict[str, Any], trained: list[list[Path]]
) -> Noticed:
    """The settings of the preparation that is named, or of the one that suits what is trained on.

    Raises ValueError as ``preparation_settings``.
    """
    if named == AUTO:
        return notice_preparation(trained, spec)
    known = (AUTO, *PREPARATIONS)
    return Noticed(settings=preparation_settings(named, stroke, known=known))


def _polarity(examples: Tensor, counts: tuple[int, ...], splits: Splits) -> Noticed:
    """The setting ``invert`` that suits the training pictures, and a sentence where it is true."""
    trained = torch.from_numpy(in_classes(counts, splits["train"]))
    if not is_dark_on_light(examples[trained]):
        return Noticed(settings={"invert": False})
    return Noticed(
        settings={"invert": True},
        said=("the training pictures are dark on light: invert becomes true",),
    )


def _files(classes: Classes) -> dict[str, Path]:
    return {f"{name}/{file.name}": file for name, members in classes.items() for file in members}


def find_classes(folder: Path) -> tuple[Classes, list[tuple[str, str]]]:
    """The files of each class, and (class, split) pairs where the folder has splits of its own.

    Raises as ``load_pictures``; no file is opened.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: expected one with a folder of each class")
    found = {entry.name for entry in _visible(folder)}
    if found == set(SPLITS):
        return _of_splits(folder)
    if "train" in found and found <= SPLIT_LIKE:
        raise ValueError(
            f"{folder}: expected {', '.join(SPLITS)} or folders of classes, got "
            f"{', '.join(sorted(found))}"
        )
    return _below(folder, folder), []


def _of_splits(folder: Path) -> tuple[Classes, list[tuple[str, str]]]:
    classes: Classes = {}
    told: list[tuple[str, str]] = []
    for split in SPLITS:
        below = _below(folder / split, folder / split)
        told += [(name, split) for name in below]
        classes |= below
    return classes, told


def _splits(classes: Classes, told: list[tuple[str, str]], shares: dict[str, Any]) -> Splits:
    if told:
        return split_as_told(told, least=LEAST_CLASSES, what="classes")
    return split_by_shares(list(classes), **shares, least=LEAST_CLASSES, what="classes")


def _below(folder: Path, top: Path) -> Classes:
    return dict(_walk(folder, top))


def _walk(folder: Path, top: Path) -> Iterator[tuple[str, list[Path]]]:
    """Every class at or below a folder, in the order of their paths."""
    entries = _visible(folder)
    files = [entry for entry in entries if not entry.is_dir()]
    if len(files) == len(entries) and folder != top:
        if len(entries) < LEAST_PICTURES:
            raise ValueError(
                f"{folder}: expected at least {LEAST_PICTURES} pictures, got {len(entries)}"
            )
        yield folder.relative_to(top).as_posix(), entries
        return
    if files:
        raise ValueError(f"{files[0]}: expected a folder of a class here, got a file")
    for below in entries:
        yield from _walk(below, top)


def _visible(folder: Path) -> list[Path]:
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return [e for e in entries if e.name[0] != "." and e.name not in LEFT_BY_OTHERS]
