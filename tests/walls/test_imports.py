"""What is loaded where, file by file: torch and the web come late, and mathematics stands alone."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOPS = "json.dumps(sorted({name.partition('.')[0] for name in sys.modules}))"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
[GROUND] = [contract["source_modules"] for contract in CONTRACTS if contract["id"] == "ground"]


def loaded_by(modules: list[str], **variables: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after importing the modules."""
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys, json, {', '.join(modules)}; print({TOPS})"],
        env={**os.environ, **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(json.loads(ended.stdout))


def modules_under(path: Path) -> list[str]:
    """The dotted names of a module's file, or of all files of a package."""
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return [name.removesuffix(".__init__") for name in names]


def test_every_file_of_the_ground_floor_loads_neither_torch_nor_the_web() -> None:
    modules = [name for room in GROUND for name in modules_under(ROOT / room.replace(".", "/"))]
    assert "app.db.adaptations" in modules

    assert loaded_by(modules).isdisjoint({"torch", "fastapi", "starlette", "uvicorn", "typer"})


def test_ordering_predicting_and_exporting_load_torch_only_when_they_need_it() -> None:
    modules = [
        "app.adaptations.placing",
        "app.predictions.predicting",
        "app.adaptations.exporting",
        "app.checkpoints.registry",
        "app.backends",
    ]

    assert loaded_by(modules).isdisjoint({"torch", "fastapi", "starlette", "uvicorn", "typer"})


def test_trainings_load_no_console_and_torch_only_when_they_run() -> None:
    modules = modules_under(ROOT / "app" / "trainings")
    assert "app.trainings.running" in modules

    assert loaded_by(modules).isdisjoint({"typer", "rich", "torch", "matplotlib", "fastapi"})


def test_the_workers_parent_loads_celery_and_no_torch(tmp_path: Path) -> None:
    redis = {"FEWSTEP_REDIS_URL": "redis://127.0.0.1:1/0", "FEWSTEP_DATA_DIR": str(tmp_path)}

    loaded = loaded_by(["worker.application"], **redis)

    assert "celery" in loaded
    assert loaded.isdisjoint({"torch", "fastapi", "starlette", "uvicorn"})


def test_the_mathematics_knows_nothing_of_ours() -> None:
    loaded = loaded_by(modules_under(ROOT / "models"))

    assert "torch" in loaded  # or nothing was loaded at all
    assert loaded.isdisjoint({"app", "worker", "migrations", "celery", "sqlalchemy", "fastapi"})
