"""Versions of checkpoints to begin with, as rows alone: no file lies behind them."""

from hashlib import sha256
from typing import Any

from sqlalchemy import Engine

from app.db.checkpoints import add_version
from app.db.connections import writing


def described(
    name: str,
    *,
    max_way: int = 5,
    task: str = "classification",
    normalisation: str = "support",
) -> dict[str, Any]:
    """What a file of this name says of itself, with provenance of some length."""
    return {
        "name": name,
        "task": task,
        "network": {"name": "conv4", "filters": 64},
        "head": {"kind": "linear", "outputs": max_way, "scale": 1.0},
        "input": {"shape": [1, 28, 28], "preprocessing": None},
        "max_way": max_way,
        "inner_loop": {
            "steps": 3,
            "step_size": 0.4,
            "learned": False,
            "normalisation": normalisation,
        },
        "provenance": {"data": ["some class"] * 100},
        "evaluation": [],
    }


def add(engine: Engine, tenant_id: str, name: str, number: int = 1, **changes: Any) -> None:
    """So many new versions of a name."""
    with writing(engine) as connection:
        for version in range(number):
            content = f"{tenant_id} {name} {changes} {version}"
            digest = sha256(content.encode()).hexdigest()
            add_version(connection, tenant_id, digest, 10, 1, described(name, **changes))
