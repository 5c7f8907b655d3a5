"""Files and functions stay small enough to be read, and the rooms few enough to be known."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = [
    path for room in ("app", "worker", "models") for path in sorted((ROOT / room).rglob("*.py"))
]
LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 330, 50


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Every function's name and lines, its signature and docstring included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or 0) - node.lineno + 1


def rooms(wing: str) -> set[str]:
    """The modules and packages right below it."""
    folder = ROOT / wing
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    return packages | {path.stem for path in folder.glob("*.py")} - {"__init__"}


def test_no_file_is_too_long() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in CODE}

    assert {path: count for path, count in lines.items() if count > LINES_OF_A_FILE} == {}


def test_no_function_is_too_long() -> None:
    long = {
        (str(path.relative_to(ROOT)), name): count
        for path in CODE
        for name, count in functions(path)
        if count > LINES_OF_A_FUNCTION
    }

    assert long == {}


@pytest.mark.parametrize(("wing", "most"), [("app", 18), ("models", 19)])
def test_a_wing_has_few_rooms(wing: str, most: int) -> None:
    assert len(rooms(wing)) <= most
