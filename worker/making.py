"""What makes adaptations here: release, commit, libraries, device and recipe."""

import subprocess
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from models.files.checkpoint import Checkpoint

ROOT = Path(__file__).parents[1]


def made_by(checkpoint: Checkpoint, device: torch.device) -> dict[str, Any]:
    """For the row of an adaptation from this checkpoint on this device."""
    return {
        "fewstep": _release(),
        "commit": _commit(),
        "torch": torch.__version__,
        "device": _name_of(device),
        "recipe": asdict(checkpoint.inner_loop),
    }


def _name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@cache
def _release() -> str:
    return version("fewstep")  # which reads a file each time


@cache
def _commit() -> str | None:
    """Of the repository that the code runs from; None where it runs from none."""
    if not (ROOT / ".git").exists():
        return None
    asked = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
