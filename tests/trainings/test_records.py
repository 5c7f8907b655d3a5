"""What every outer step gave: the log, the table beside it, and TensorBoard's events."""

import csv
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from app.trainings.records import recording


def record(iteration: int, validation: float | None = None) -> dict[str, Any]:
    scores = {"loss": 1 / iteration, "score": 0.5, "validation": validation}
    return {"iteration": iteration, **scores, "seconds": 0.25}


class Writer:
    """A stand-in for TensorBoard's, which is no dependency of ours."""

    def __init__(self, folder: str, purge_step: int) -> None:
        self.folder, self.purge_step = folder, purge_step
        self.kept: list[tuple[str, float, int]] = []
        writers.append(self)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *fault: object) -> None: ...

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.kept.append((name, value, step))


writers: list[Writer] = []


@pytest.fixture
def tensorboard(monkeypatch: pytest.MonkeyPatch) -> list[Writer]:
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    writers.clear()
    return writers


@pytest.fixture
def no_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)


@pytest.mark.usefixtures("no_tensorboard")
def test_the_table_has_the_logs_steps_and_no_other(tmp_path: Path) -> None:
    with recording(tmp_path) as keep:
        keep(record(1))
        keep(record(2, validation=0.75))
    (tmp_path / "scalars.csv").write_text("what a killed process left")
    with recording(tmp_path) as keep:
        keep(record(3))

    with (tmp_path / "scalars.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert logged == [record(1), record(2, validation=0.75), record(3)]
    assert [row["iteration"] for row in rows] == ["1", "2", "3"]
    assert [row["validation"] for row in rows] == ["", "0.75", ""]
    assert float(rows[2]["loss"]) == 1 / 3
    assert not (tmp_path / "tensorboard").exists()


def test_where_tensorboard_is_installed_it_gets_the_same_and_forgets_what_was_undone(
    tmp_path: Path, tensorboard: list[Writer]
) -> None:
    with recording(tmp_path) as keep:
        keep(record(1))
    with recording(tmp_path) as keep:
        keep(record(2, validation=0.75))

    first, second = tensorboard
    assert first.folder == str(tmp_path / "tensorboard")
    assert (first.purge_step, second.purge_step) == (1, 2)
    assert [name for name, _, _ in first.kept] == ["loss", "score", "seconds"]
    assert second.kept[2] == ("validation", 0.75, 2)
