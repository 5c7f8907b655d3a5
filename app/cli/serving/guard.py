"""Keeps a child from outliving us: `python -m app.cli.serving.guard --pipe-fd N … -- command`.

The supervisor starts it in a session of its own and holds the other end of a pipe. One byte means
"stop it", the end of the pipe means that the supervisor is gone. Either way, and also when the
command ends by itself, the whole group of processes ends, this one included. Standard library
only: it must start fast and must not fail.
"""

import argparse
import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
ORPHANED_GRACE_S: Final = 2.0


def die_with_parent(with_signal: int = signal.SIGKILL) -> None:
    """Asks Linux to signal this process when its parent ends; elsewhere the pipe has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, with_signal)


def guard(
    command: Sequence[str], *, name: str, pipe_fd: int, lock_path: Path, grace_s: float
) -> None:
    """Runs the command until it ends or we are told to; then kills the group. Never returns.

    The shared lock is held, by the command too, until the last of the group is gone.
    """
    with lock_path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        wake = _wakened_by(signal.SIGCHLD)
        child = subprocess.Popen(command, pass_fds=[lock.fileno()], preexec_fn=die_with_parent)
        told = _wait(child, pipe_fd, wake)
        if told is None:
            _say(f"{name} ended by itself with status {child.returncode}")
        elif not _stops(child, grace_s if told else ORPHANED_GRACE_S):
            _say(f"{name} did not stop in time and is killed")
        os.killpg(0, signal.SIGKILL)


def _wakened_by(number: int) -> int:
    wake, write = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(write, False)
    signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(write)
    return wake


def _wait(child: subprocess.Popen[bytes], pipe_fd: int, wake: int) -> bytes | None:
    """None when the command ended by itself, a byte when told to stop, b"" without a parent."""
    while child.poll() is None:
        readable, _, _ = select.select([pipe_fd, wake], [], [])
        if pipe_fd in readable:
            return os.read(pipe_fd, 1)
        os.read(wake, 64)
    return None


def _stops(child: subprocess.Popen[bytes], within_s: float) -> bool:
    child.terminate()
    try:
        child.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _say(event: str) -> None:
    # The terminal may be gone together with the supervisor.
    with suppress(OSError):
        os.write(2, f"{_line(event)}\n".encode())


def _line(event: str) -> str:
    """As the lines of app.logs in JSON, whose libraries are not loaded here; else for a person."""
    if os.environ.get("FEWSTEP_LOG_FORMAT") != "json":
        return f"fewstep: {event}"
    fields = {"event": event, "level": "warning", "logger": "app.cli.serving.guard"}
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps(fields | {"timestamp": now})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--pipe-fd", type=int, required=True)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--grace-s", type=float, required=True)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    guard(
        given.command,
        name=given.name,
        pipe_fd=given.pipe_fd,
        lock_path=given.lock,
        grace_s=given.grace_s,
    )


if __name__ == "__main__":
    main()
