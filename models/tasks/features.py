"""Labelled feature vectors as few-shot classes, from one .npz file.

x           (M, D) float, or (M, …): one example a row; NaN where a number is missing
y           (M,) whole numbers or strings: its class
categories  (M, C) strings: names behind the numbers of x (M, D); may be left out
split       (M,) train, validation or test, the same for all of a class; may be left out
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.episodes import Noticed
from models.tasks.arrays import (
    digest_of_file,
    in_classes,
    notice_spread,
    read_npz,
    read_numbers,
    read_words,
)
from models.tasks.classes import LabelledExamples
from models.tasks.contents import say_equal_rows
from models.tasks.resolving import check_resolved
from models.tasks.splits import Splits, split_as_told, split_by_shares
from models.tasks.tables import fill_missing, with_names

LEAST_CLASSES = 2  # of every split; to tell apart
LEAST_EXAMPLES = 2  # of every class; one to learn from and one to ask about


def load_features(
    file: Path,
    *,
    cache: Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
    validation: float = 0.15,
    test: float = 0.2,
    split_seed: int = 1,
    standardise: bool = False,
    preprocessing: Mapping[str, Any] | None = None,
) -> LabelledExamples:
    """The classes in a file, or in the ``features.npz`` of a folder.

    standardise: the network is to know mean and deviation of the training classes' inputs;
    validation, test, split_seed: ``split_by_shares``, where the file has no ``split``;
    preprocessing: a checkpoint's, what is missing and names being as it has them. Raises
    FileNotFoundError where there is no file, ValueError where it is not as expected.
    """
    file = file / "features.npz" if file.is_dir() else file
    arrays = read_npz(file, ("x", "y"), ("categories", "split"))
    numbers = _vectors(arrays["x"])
    known = None if preprocessing is None else preprocessing["categories"] or ()
    x, categories = with_names(numbers, arrays.get("categories"), known)
    labels = read_words(arrays["y"], "y", len(x))
    repeated = say_equal_rows(x, labels, "vector")
    found, members, counts = np.unique(arrays["y"], return_inverse=True, return_counts=True)
    names = _names(found, counts)
    order = np.argsort(members, kind="stable")
    x = x[order]  # class after class
    shares = {"validation": validation, "test": test, "seed": split_seed}
    splits = _splits(names, labels, order, arrays.get("split"), shares)
    progress(len(x))
    width, spread, about = numbers[0].size, Noticed(), dict(preprocessing or {})
    if preprocessing is None:
        spread = notice_spread(x[in_classes(counts.tolist(), splits["train"])])
        about["missing"] = list(spread.centre[:width])
    x, said = fill_missing(x, about["missing"])
    check_resolved(x.reshape(1, len(x), -1)[:, :, :width], "x")
    missing = about["missing"] if said else None
    rare = {"kind": "numbers", "missing": missing, "categories": categories}
    return LabelledExamples(
        name="features",
        examples=torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)),
        counts=tuple(counts.tolist()),
        names=tuple(names),
        splits=splits,
        digest=digest_of_file(file),
        preprocessing=rare if missing or categories else None,
        noticed=replace(spread if standardise else Noticed(), said=(*repeated, *said)),
    )


def _splits(
    names: list[str],
    labels: list[str],
    order: NDArray[np.intp],
    told: NDArray[Any] | None,
    shares: dict[str, Any],
) -> Splits:
    """As they are told for the labels, taken class after class, or by shares of the names."""
    if told is None:
        return split_by_shares(names, **shares, least=LEAST_CLASSES, what="classes")
    pairs = list(zip(labels, read_words(told, "split", len(labels)), strict=True))
    return split_as_told([pairs[place] for place in order], least=LEAST_CLASSES, what="classes")


def _vectors(array: NDArray[Any]) -> NDArray[Any]:
    x = read_numbers(array, "x")
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(f"x: expected the shape (examples, features), got {x.shape}")
    return x


def _names(found: NDArray[Any], counts: NDArray[np.intp]) -> list[str]:
    """Of the classes. Raises ValueError for one of too few examples."""
    names = [str(name) for name in found.tolist()]
    for name, count in zip(names, counts, strict=True):
        if count < LEAST_EXAMPLES:
            raise ValueError(
                f"class {name!r}: expected at least {LEAST_EXAMPLES} examples, got {count}"
            )
    return names
