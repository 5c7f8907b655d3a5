"""The service as a real process, started and stopped as a person would."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FEWSTEP = str(Path(sys.executable).with_name("fewstep"))
READY_WITHIN_S = 90.0
STOPPED_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running `fewstep serve`."""

    base_url: str
    process: subprocess.Popen[bytes]
    data_dir: Path
    log: Path


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def clean_environment(**variables: str) -> dict[str, str]:
    """This process's environment without any setting of the service but the given ones."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FEWSTEP_")}
    return {**kept, **variables, "PATH": f"{Path(FEWSTEP).parent}:{os.environ['PATH']}"}


@contextmanager
def running_service(folder: Path, **variables: str) -> Iterator[Service]:
    """A service that is ready, on a free port with its data in the folder; stopped afterwards."""
    port = free_port()
    own = {"FEWSTEP_DATA_DIR": str(folder / "data"), "FEWSTEP_PORT": str(port), **variables}
    log = folder / "serve.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [FEWSTEP, "serve"],
            env=clean_environment(**own),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    service = Service(
        base_url=f"http://127.0.0.1:{port}", process=process, data_dir=folder / "data", log=log
    )
    try:
        wait_until_ready(service)
        yield service
    finally:
        stop(process)


def wait_until_ready(service: Service, *, within_s: float = READY_WITHIN_S) -> None:
    """Returns when /readyz answers 200. Raises RuntimeError with the log when it does not."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and service.process.poll() is None:
        if answers_200(f"{service.base_url}/readyz"):
            return
        time.sleep(0.1)
    raise RuntimeError(f"not ready within {within_s:g} s:\n{service.log.read_text()[-4000:]}")


def answers_200(url: str) -> bool:
    """Whether a GET of the address gives 200 at once."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as refusal:
        refusal.close()
        return False
    except OSError:
        return False


def stop(process: subprocess.Popen[bytes], *, by: int = signal.SIGTERM) -> int:
    """The exit status after the signal; a process that does not obey is killed and said so."""
    if process.poll() is None:
        process.send_signal(by)
    try:
        return process.wait(STOPPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def processes_of(folder: Path) -> dict[int, str]:
    """Command lines of the processes that name the folder, or work in it (Linux)."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            known = (
                command
                + (process / "environ").read_bytes()
                + os.fsencode((process / "cwd").readlink())
            )
        except OSError:
            continue
        if command and os.fsencode(folder) in known and int(process.name) != os.getpid():
            found[int(process.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found
