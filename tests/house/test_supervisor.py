"""Children are kept running, stopped with time to finish, and never doubled by a second service."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.cli.serving import supervisor
from app.cli.serving.supervisor import CannotStart, Child, kept_running, sole_use
from tests.house.test_guard import wait_for

# Notes every start, and its stop after having finished something.
WORK = (
    "import os, signal, sys, time\n"
    "def note(word): open(sys.argv[1], 'a').write(f'{word} {os.getpid()}\\n')\n"
    "def stop(*_): time.sleep(0.5); note('finished'); sys.exit()\n"
    "signal.signal(signal.SIGTERM, stop)\n"
    "note('started')\n"
    "time.sleep(120)\n"
)


def worker(notes: Path, *, grace_s: float = 5) -> Child:
    command = [sys.executable, "-c", WORK, str(notes)]
    return Child(name="work", command=command, environment={}, grace_s=grace_s)


def words(notes: Path) -> list[str]:
    lines = notes.read_text().splitlines() if notes.exists() else []
    return [line.split()[0] for line in lines]


def test_a_stopped_child_gets_its_time_to_finish(tmp_path: Path) -> None:
    notes = tmp_path / "notes"

    with kept_running(worker(notes), data_dir=tmp_path):
        assert wait_for(lambda: words(notes) == ["started"])

    assert words(notes) == ["started", "finished"]


def test_a_child_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    notes = tmp_path / "notes"

    with kept_running(worker(notes, grace_s=0.1), data_dir=tmp_path):
        assert wait_for(lambda: words(notes) == ["started"])
        began = time.monotonic()

    assert time.monotonic() - began < 3
    assert words(notes) == ["started"]


def test_a_child_killed_three_times_is_started_three_times_more(tmp_path: Path) -> None:
    notes = tmp_path / "notes"

    with kept_running(worker(notes), data_dir=tmp_path):
        for killed in range(1, 4):
            assert wait_for(lambda killed=killed: len(words(notes)) == killed)
            os.kill(int(notes.read_text().split()[-1]), signal.SIGKILL)
        assert wait_for(lambda: len(words(notes)) == 4)

    assert words(notes) == ["started"] * 4 + ["finished"]


def test_a_child_that_cannot_start_is_tried_more_and_more_rarely(tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    command = ["/bin/sh", "-c", f"echo try >> {tries}"]
    child = Child(name="hopeless", command=command, environment={}, grace_s=1)

    with kept_running(child, data_dir=tmp_path):
        time.sleep(3)

    assert 2 <= len(words(tries)) <= 5


def test_a_second_service_is_refused_the_same_data_folder(tmp_path: Path) -> None:
    with (
        sole_use(tmp_path),
        pytest.raises(CannotStart, match="another fewstep"),
        sole_use(tmp_path),
    ):
        pytest.fail("two services shared one data folder")

    with sole_use(tmp_path):
        pass


def test_a_data_folder_waits_for_the_children_of_an_earlier_service(tmp_path: Path) -> None:
    with left_over_child(tmp_path, lives_s=1):
        began = time.monotonic()

        with sole_use(tmp_path):
            waited_s = time.monotonic() - began

    assert 0.5 < waited_s < 5


def test_children_that_never_go_are_said_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "CHILDREN_GONE_WITHIN_S", 0.2)

    with (
        left_over_child(tmp_path, lives_s=60),
        pytest.raises(CannotStart, match="earlier service"),
        sole_use(tmp_path),
    ):
        pytest.fail("started beside the children of another service")


@contextmanager
def left_over_child(data_dir: Path, *, lives_s: float) -> Iterator[None]:
    hold = (
        "import fcntl, sys, time\n"
        "file = open(sys.argv[1], 'ab'); fcntl.flock(file, fcntl.LOCK_SH)\n"
        "print(flush=True); time.sleep(float(sys.argv[2]))\n"
    )
    lock = data_dir / supervisor.CHILDREN_LOCK
    with subprocess.Popen(
        [sys.executable, "-c", hold, lock, str(lives_s)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield
        child.kill()
