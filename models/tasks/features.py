"""Labelled feature vectors as few-shot classes, from one .npz file.

x      (M, D) float, or (M, …): one example a row
y      (M,) whole numbers or strings: its class
split  (M,) train, validation or test, the same for all of a class; may be left out
"""

from collections.abc import Callable
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
    read_floats,
    read_npz,
    read_words,
)
from models.tasks.classes import LabelledExamples
from models.tasks.splits import split_as_told, split_by_shares

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
) -> LabelledExamples:
    """The classes in a file, or in the ``features.npz`` of a folder.

    standardise: the network is to know mean and deviation of the training classes' inputs;
    validation, test, split_seed: ``split_by_shares``, where the file has no ``split``.

    Raises FileNotFoundError where there is no file, ValueError where it is not as expected.
    """
    file = file / "features.npz" if file.is_dir() else file
    arrays = read_npz(file, ("x", "y"), ("split",))
    x = _vectors(arrays["x"])
    labels = read_words(arrays["y"], "y", len(x))
    found, members, counts = np.unique(arrays["y"], return_inverse=True, return_counts=True)
    names = [str(name) for name in found.tolist()]
    _check_counts(names, counts.tolist())
    order = np.argsort(members, kind="stable")
    x = x[order]  # class after class
    if "split" in arrays:
        told = read_words(arrays["split"], "split", len(x))
        pairs = [(labels[place], told[place]) for place in order.tolist()]
        splits = split_as_told(pairs, least=LEAST_CLASSES, what="classes")
    else:
        splits = split_by_shares(
            names,
            validation=validation,
            test=test,
            seed=split_seed,
            least=LEAST_CLASSES,
            what="classes",
        )
    progress(len(x))
    trained = in_classes(counts.tolist(), splits["train"])
    return LabelledExamples(
        name="features",
        examples=torch.from_numpy(x),
        counts=tuple(counts.tolist()),
        names=tuple(names),
        splits=splits,
        digest=digest_of_file(file),
        noticed=notice_spread(x[trained]) if standardise else Noticed(),
    )


def _vectors(array: NDArray[Any]) -> NDArray[np.float32]:
    x = read_floats(array, "x")
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(f"x: expected the shape (examples, features), got {x.shape}")
    return x


def _check_counts(names: list[str], counts: list[int]) -> None:
    for name, count in zip(names, counts, strict=True):
        if count < LEAST_EXAMPLES:
            raise ValueError(
                f"class {name!r}: expected at least {LEAST_EXAMPLES} examples, got {count}"
            )
