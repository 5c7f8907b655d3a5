"""Children of the service: started under a guard, started again when they end, stopped in order.

Knows processes, locks and pipes; must not know what the children do.
"""

import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import IO, Final

SERVICE_LOCK: Final = "serve.lock"
CHILDREN_LOCK: Final = "children.lock"
CHILDREN_GONE_WITHIN_S: Final = 30.0
FIRST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 10.0
STEADY_AFTER_S: Final = 30.0

log = logging.getLogger(__name__)


class CannotStart(Exception):
    """Why the service does not start, in one line for the person who started it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process to keep running; environment is added to ours, grace_s is its time to stop."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    grace_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a child: its guard, whose number is also the group's, and our end of the pipe."""

    guard: subprocess.Popen[bytes]
    pipe: FileIO
    started_s: float


@contextmanager
def sole_use(data_dir: Path) -> Iterator[None]:
    """Holds the data folder against other services, once no child of an earlier one is left.

    Raises CannotStart when another service has it, or when children do not end within 30 s.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (data_dir / SERVICE_LOCK).open("ab") as lock:
        if not _lock(lock, within_s=0):
            raise CannotStart(f"another fewstep service uses {data_dir}")
        with (data_dir / CHILDREN_LOCK).open("ab") as children:
            if not _lock(children, within_s=CHILDREN_GONE_WITHIN_S):
                raise CannotStart(f"processes of an earlier service still use {data_dir}")
        yield


@contextmanager
def kept_running(child: Child, *, data_dir: Path) -> Iterator[None]:
    """Starts the child again whenever it ends; stops it, and waits for that, after the block."""
    lock_path = data_dir / CHILDREN_LOCK
    current, stopping, turn = _start(child, lock_path), threading.Event(), threading.Lock()

    def keep() -> None:
        nonlocal current
        delay_s = FIRST_DELAY_S
        while True:
            delay_s = min(delay_s * 2, LONGEST_DELAY_S) if _end_of(current) else FIRST_DELAY_S
            if stopping.wait(delay_s):
                return
            with turn, suppress(OSError):  # too many processes: tried again after the next delay
                if stopping.is_set():
                    return
                current = _start(child, lock_path)
                fields = {"child": child.name, "after_s": delay_s}
                log.warning("child started again", extra=fields)

    keeper = threading.Thread(target=keep, name=f"keep {child.name}", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        with turn:
            stopping.set()
        _tell_to_stop(current)
        keeper.join()


def _start(child: Child, lock_path: Path) -> Run:
    read, write = os.pipe()
    options = ["--name", child.name, "--pipe-fd", str(read), "--lock", str(lock_path)]
    # -P: a folder called app where the service is started must not be taken for ours.
    guard = [
        sys.executable,
        "-P",
        "-m",
        "app.cli.serving.guard",
        *options,
        "--grace-s",
        str(child.grace_s),
    ]
    pipe = FileIO(write, "w")
    try:
        process = subprocess.Popen(
            [*guard, "--", *child.command],
            env={**os.environ, **child.environment},
            stdin=subprocess.DEVNULL,
            pass_fds=[read],
            start_new_session=True,
        )
    except OSError:
        pipe.close()
        raise
    finally:
        os.close(read)
    return Run(guard=process, pipe=pipe, started_s=time.monotonic())


def _end_of(run: Run) -> bool:
    """Waits until the run has ended, whole group; whether that came early."""
    run.guard.wait()
    with suppress(ProcessLookupError, PermissionError):  # a killed guard leaves the rest to us
        os.killpg(run.guard.pid, signal.SIGKILL)
    run.pipe.close()
    return time.monotonic() - run.started_s < STEADY_AFTER_S


def _tell_to_stop(run: Run) -> None:
    with suppress(OSError, ValueError):  # it has ended already
        run.pipe.write(b"s")


def _lock(file: IO[bytes], *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)
        else:
            return True
