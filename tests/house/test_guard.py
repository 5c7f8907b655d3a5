"""A guarded child never outlives its supervisor, and its group never outlives it."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

# A command with a child of its own; both write their numbers down and then do nothing.
FAMILY = (
    "import os, subprocess, sys, time\n"
    "if sys.argv[2] == 'deaf': import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(120)'])\n"
    "open(sys.argv[1] + '.part', 'w').write(f'{os.getpid()} {child.pid}')\n"
    "os.rename(sys.argv[1] + '.part', sys.argv[1])\n"
    "time.sleep(120)\n"
)
# A supervisor that does nothing but keep one family running.
SUPERVISOR = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from app.cli.serving.supervisor import Child, kept_running\n"
    "child = Child(name='family', command=sys.argv[2:], environment={}, grace_s=1)\n"
    "with kept_running(child, data_dir=Path(sys.argv[1])):\n"
    "    time.sleep(120)\n"
)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def wait_for(condition: Callable[[], bool], *, within_s: float = 10) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def start_family(folder: Path, kind: str = "obedient") -> tuple[subprocess.Popen[bytes], list[int]]:
    """A supervisor and the numbers of the two processes of its family."""
    note = folder / "family"
    family = [sys.executable, "-c", FAMILY, str(note), kind]
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(folder), *family])
    assert wait_for(note.exists)
    return supervisor, [int(pid) for pid in note.read_text().split()]


@pytest.mark.parametrize("kind", ["obedient", "deaf"])
def test_killing_the_supervisor_leaves_no_process(tmp_path: Path, kind: str) -> None:
    supervisor, family = start_family(tmp_path, kind)
    guard = os.getpgid(family[0])

    supervisor.kill()
    supervisor.wait()

    assert wait_for(lambda: not any(is_alive(pid) for pid in [guard, *family]))


def test_killing_guard_and_supervisor_leaves_no_command(tmp_path: Path) -> None:
    supervisor, family = start_family(tmp_path)
    guard = os.getpgid(family[0])

    supervisor.kill()
    os.kill(guard, signal.SIGKILL)
    supervisor.wait()

    assert wait_for(lambda: not is_alive(family[0]))
    os.kill(family[1], signal.SIGKILL)


@pytest.mark.parametrize("victim", ["guard", "command"])
def test_a_killed_child_is_started_again_without_remains(tmp_path: Path, victim: str) -> None:
    supervisor, family = start_family(tmp_path)
    (tmp_path / "family").unlink()

    os.kill(os.getpgid(family[0]) if victim == "guard" else family[0], signal.SIGKILL)

    try:
        assert wait_for(lambda: not any(is_alive(pid) for pid in family))
        assert wait_for((tmp_path / "family").exists)
    finally:
        supervisor.kill()
        supervisor.wait()


def test_the_lock_of_the_children_is_free_only_when_all_are_gone(tmp_path: Path) -> None:
    supervisor, family = start_family(tmp_path)

    with (tmp_path / "children.lock").open("ab") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        supervisor.kill()
        supervisor.wait()
        fcntl.flock(lock, fcntl.LOCK_EX)

    assert not is_alive(family[0])
