"""Regression tasks out of measured series, from one .npz file: each row is one task.

x      (tasks, T, Din) float, or (tasks, T) for one number: where it was measured
y      (tasks, T, Dout) float, or (tasks, T): what was measured there
split  (tasks,) train, validation or test; may be left out
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.episodes import Episodes, EpisodeShape, Noticed, Supply
from models.tasks.arrays import digest_of_file, notice_spread, read_floats, read_npz, read_words
from models.tasks.splits import Splits, split_as_told, split_by_shares

LEAST_TASKS = 1  # of every split


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
    trained = x[splits["train"]].reshape(-1, x.shape[2])
    return Series(
        x=torch.from_numpy(x),
        y=torch.from_numpy(y),
        splits=splits,
        digest=digest_of_file(file),
        noticed=notice_spread(trained) if standardise else Noticed(),
    )


def _by_point(array: NDArray[Any], name: str) -> NDArray[np.float32]:
    """(tasks, T, width) float32; width 1 where the last axis is missing."""
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ValueError(
            f"{name}: expected the shape (tasks, points) or (tasks, points, width), got "
            f"{array.shape}"
        )
    return read_floats(array if array.ndim == 3 else array[:, :, None], name)
