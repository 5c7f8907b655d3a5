"""What a figure was measured on: the machine, the torch, the commit and the day."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]


def describe_run() -> dict[str, Any]:
    """Flat values; ``commit`` ends in ``+`` where the tree differed from it."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def in_words(run: dict[str, Any]) -> str:
    """One line of it."""
    gpu = f", {run['gpu']}" if run["gpu"] else ""
    machine = f"{run['cpu']}, {run['cores']} cores, {run['memory_gib']} GiB{gpu}"
    versions = f"torch {run['torch']}, Python {run['python']}"
    return f"{machine}; {versions}; commit {run['commit']}, {run['date']}"


def _cpu() -> str:
    known = Path("/proc/cpuinfo")
    if known.exists():
        for line in known.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    head = _git("rev-parse", "--short=12", "HEAD")
    return f"{head}+" if _git("status", "--porcelain", "--untracked-files=no") else head


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
