"""Regression tasks out of measured series, from one .npz file: each row is one task.

x      (tasks, T, Din) float, or (tasks, T) for one number: where it was measured
y      (tasks, T, Dout) float, or (tasks, T): what was measured there
split  (tasks,) train, validation or test; may be left out
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.episodes import Episodes, EpisodeShape, Noticed, Supply
from models.tasks.arrays import digest_of_file, notice_spread, read_floats, read_npz, read_words
from models.tasks.contents import content_of, say_equal_rows
from models.tasks.resolving import check_resolved
from models.tasks.splits import Splits, split_as_told, split_by_shares

LEAST_TASKS = 1  # of every split
NARROW = 0.01  # of the deviation over all tasks: a task's own is hard to see


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """x: (tasks, T, Din) float32; y: (tasks, T, Dout) float32; splits: which rows are for what."""

    x: Tensor
    y: Tensor
    splits: Splits
    digest: str
    preprocessing: None = None
    noticed: Noticed = field(default_factory=Noticed)

    def draw(
        self,
        split: str,
        episodes: int,
        shape: EpisodeShape,
        generator: torch.Generator,
        *,
        augment: bool = False,
    ) -> Episodes:
        """A random task in each episode, shape.shot points of it as support and shape.query others.

        support_x: (E, shot, Din); support_y: (E, shot, Dout). Raises ValueError where a task has
        too few points.
        """
        points, wanted = self.x.shape[1], shape.shot + shape.query
        if wanted > points:
            raise ValueError(
                f"series: expected at least {shape.shot} + {shape.query} points in each task, got "
                f"{points}"
            )
        pool = torch.tensor(self.splits[split])
        rows = pool[torch.randint(len(pool), (episodes,), generator=generator)][:, None]
        tickets = torch.rand(episodes, points, generator=generator)
        chosen = tickets.argsort(dim=1)[:, :wanted]  # (E, K + Q)
        x, y = self.x[rows, chosen], self.y[rows, chosen]
        return Episodes(
            support_x=x[:, : shape.shot],
            support_y=y[:, : shape.shot],
            query_x=x[:, shape.shot :],
            query_y=y[:, shape.shot :],
            outputs=self.y.shape[2],
        )

    def describe(self) -> dict[str, object]:
        """What a checkpoint records; test_classes are the rows of the tasks for testing."""
        test_rows = [str(row) for row in self.splits["test"]]
        return {"name": "series", "digest": self.digest, "test_classes": test_rows}

    def contents(self, split: str) -> dict[str, str]:
        """A digest of the points of each of the split's tasks, by its row."""
        points = torch.cat([self.x, self.y], dim=2).numpy()
        return {str(row): content_of(points[row]) for row in self.splits[split]}

    def supply(self) -> Supply:
        """What there is to draw from."""
        counts = {split: (self.x.shape[1],) * len(rows) for split, rows in self.splits.items()}
        return Supply(
            input_shape=(self.x.shape[2],),
            counts=counts,
            outputs=int(self.y.shape[2]),
            noticed=self.noticed,
        )


def load_series(
    file: Path,
    *,
    cache: Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
    validation: float = 0.15,
    test: float = 0.2,
    split_seed: int = 1,
    standardise: bool = False,
) -> Series:
    """The tasks in a file, or in the ``series.npz`` of a folder.

    validation, test, split_seed: ``split_by_shares`` of the rows' numbers, where the file has no
    ``split``; standardise: the network is to know mean and deviation of the training tasks' inputs.

    Raises FileNotFoundError where there is no file, ValueError where it is not as expected.
    """
    file = file / "series.npz" if file.is_dir() else file
    arrays = read_npz(file, ("x", "y"), ("split",))
    x, y = (_by_point(arrays[name], name) for name in ("x", "y"))
    if x.shape[:2] != y.shape[:2]:
        raise ValueError(
            f"expected x and y with the same tasks and points, got {x.shape[:2]} and {y.shape[:2]}"
        )
    if x.shape[1] < 2:
        raise ValueError(f"x: expected at least 2 points in each task, got {x.shape[1]}")
    rows = [str(row) for row in range(len(x))]
    if "split" in arrays:
        told = read_words(arrays["split"], "split", len(x))
        pairs = zip(rows, told, strict=True)
        splits = split_as_told(pairs, least=LEAST_TASKS, what="tasks")
    else:
        splits = split_by_shares(
            rows, validation=validation, test=test, seed=split_seed, least=LEAST_TASKS, what="tasks"
        )
    progress(len(x))
    said = say_equal_rows(np.concatenate([x, y], axis=2), [""] * len(x), "curve")
    trained = x[splits["train"]]
    spread = notice_spread(trained.reshape(-1, x.shape[2])) if standardise else Noticed()
    return Series(
        x=torch.from_numpy(x),
        y=torch.from_numpy(y),
        splits=splits,
        digest=digest_of_file(file),
        noticed=replace(spread, said=(*said, *_narrow_in_words(trained))),
    )


def _narrow_in_words(x: NDArray[np.float32]) -> tuple[str, ...]:
    """Of each number of the inputs x (tasks, T, Din) that is about the same all along a task."""
    wide = x.astype(np.float64)
    within, over_all = np.median(wide.std(axis=1), axis=0), wide.std(axis=(0, 1))
    narrow = np.flatnonzero((within > 0) & (within < NARROW * over_all))
    return tuple(
        f"x: within a task, column {column} differs by less than a hundredth of what it does over "
        "all tasks; subtract each task's own origin, or little can be learned of it"
        for column in narrow
    )


def _by_point(array: NDArray[Any], name: str) -> NDArray[np.float32]:
    """(tasks, T, width) float32; width 1 where the last axis is missing."""
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ValueError(
            f"{name}: expected the shape (tasks, points) or (tasks, points, width), got "
            f"{array.shape}"
        )
    points = array if array.ndim == 3 else array[:, :, None]
    floats = read_floats(points, name)
    check_resolved(points, name, "task")
    return floats
