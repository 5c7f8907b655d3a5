"""What every outer step gave, kept in three ways: ``log.jsonl``, ``scalars.csv``, and the event
files of TensorBoard where that is installed.
"""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from app.trainings.runs import log_of

SCALARS = ("iteration", "loss", "score", "validation", "seconds")

Record = dict[str, Any]
Keep = Callable[[Record], object]


@contextmanager
def recording(folder: Path) -> Iterator[Keep]:
    """What keeps a step's record; the files begin with the steps that the log already has."""
    earlier = read_records(folder)
    with ExitStack() as open_files:
        ways = [open_files.enter_context(way) for way in (_log(folder), _table(folder, earlier))]
        ways.append(open_files.enter_context(_events(folder, len(earlier))))

        def keep(record: Record) -> None:
            for way in ways:
                way(record)

        yield keep


def read_records(folder: Path) -> list[Record]:
    """The records in the log, oldest first."""
    log = log_of(folder)
    lines = log.read_text().splitlines() if log.is_file() else []
    return [json.loads(line) for line in lines]


@contextmanager
def _log(folder: Path) -> Iterator[Keep]:
    with log_of(folder).open("a", buffering=1) as log:
        yield lambda record: log.write(json.dumps(record) + "\n")


@contextmanager
def _table(folder: Path, earlier: list[Record]) -> Iterator[Keep]:
    """The table is written anew, so that it has no step that the log has not."""
    with (folder / "scalars.csv").open("w", buffering=1, newline="") as file:
        rows = csv.DictWriter(file, SCALARS, extrasaction="ignore", lineterminator="\n")
        rows.writeheader()
        rows.writerows(earlier)
        yield rows.writerow


@contextmanager
def _events(folder: Path, steps: int) -> Iterator[Keep]:
    """Events in ``tensorboard``; those of an earlier call after so many steps count no more."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        yield lambda record: None
        return
    with SummaryWriter(str(folder / "tensorboard"), purge_step=steps + 1) as events:

        def keep(record: Record) -> None:
            for name in SCALARS[1:]:
                if record.get(name) is not None:
                    events.add_scalar(name, record[name], record["iteration"])

        yield keep
