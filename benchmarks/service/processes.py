"""What the service's processes cost by Linux's own account: CPU time, memory, bytes on disk."""

import os
from contextlib import suppress
from pathlib import Path

import redis

from benchmarks.service.services import Measured
from tests.processes import processes_of

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
ROLES = ("API", "worker", "messages", "database")


def cpu_by_role(service: Measured) -> dict[str, float]:
    """CPU seconds so far: API, worker, messages (Valkey or Redis), database (PostgreSQL).

    SQLite works inside the API and the worker. Redis is the machine's own: others' work counts.
    """
    used = dict.fromkeys(ROLES, 0.0)
    for pid, command in processes_of(service.folder).items():
        used[_role(pid, command, service)] += cpu_s(pid)
    if service.redis_url is not None:
        with redis.Redis.from_url(service.redis_url) as client:
            about = client.info("cpu")
            used["messages"] += float(about["used_cpu_user"]) + float(about["used_cpu_sys"])
    if service.database is not None:
        used["database"] += sum(cpu_s(pid) for pid in _backends_of(service.database))
    return used


def cpu_s(pid: int) -> float:
    """User and system time of a process so far; 0 for one that has ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S
    return 0.0


def resident_bytes(pid: int) -> int:
    """Memory of a process that is its own."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(
        int(line.split()[1]) * 1024
        for line in text.splitlines()
        if line.startswith(("Private_Clean:", "Private_Dirty:"))
    )


def bytes_on_disk(folder: Path) -> tuple[int, int]:
    """Bytes of all files below the folder as they are long, and as blocks that they occupy."""
    found = [entry.stat() for entry in folder.rglob("*") if entry.is_file()]
    return sum(one.st_size for one in found), sum(one.st_blocks * 512 for one in found)


def _role(pid: int, command: str, service: Measured) -> str:
    if pid == service.process.pid:
        return "API"
    return "messages" if "valkey" in command else "worker"


def _backends_of(database: str) -> list[int]:
    """PostgreSQL's processes for one database: it names them so."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if command.startswith(b"postgres:") and database.encode() in command:
                found.append(int(process.name))
    return found
