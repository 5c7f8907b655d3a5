"""What is imported by whom, seen at run time; `make check` sees the same walls in the source."""

import subprocess
import sys

import pytest


def loaded_by(*modules: str) -> set[str]:
    """Top-level names of everything that importing the modules loads."""
    imports = "; ".join(f"import {module}" for module in modules)
    code = f"{imports}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(shown.stdout.split())


@pytest.mark.parametrize("module", ["app.cli.serving.guard", "app.settings", "app.store"])
def test_what_must_start_fast_loads_no_numpy_and_no_database(module: str) -> None:
    assert loaded_by(module).isdisjoint({"numpy", "torch", "sqlalchemy", "celery", "obstore"})
