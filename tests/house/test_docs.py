"""What the documents name is there: files, links, and names of the code."""

import re
import subprocess
from pathlib import Path

import pytest

from app.values.warnings import WARNINGS

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "examples" / "plugin" / "README.md",
    ROOT / "examples" / "environment" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
CODE = "\n".join(
    path.read_text()
    for room in ("app", "worker", "models", "benchmarks", "migrations", "examples")
    for path in sorted((ROOT / room).rglob("*"))
    if path.suffix in (".py", ".toml") and path.name != Path(__file__).name
) + "".join((ROOT / name).read_text() for name in ("Makefile", "Dockerfile", "pyproject.toml"))
FILE = re.compile(r"(?:app|worker|models|benchmarks|tests|migrations|examples|docs)/[\w./-]*\w")
NAME = re.compile(r"_?[A-Za-z]\w*_\w+(?:\(\))?")
# Celery's settings, torch's buffers, OpenTelemetry's variables and a folder of the reader's own.
THEIRS = {
    "acks_late",
    "reject_on_worker_lost",
    "running_mean",
    "running_var",
    "num_batches_tracked",
    "my_folder",
    "XDG_CACHE_HOME",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_SAMPLER",
    "OTEL_PROPAGATORS",
}


def quoted(page: Path) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", page.read_text()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_and_link_of_a_page_is_there(page: Path) -> None:
    files = {word for word in quoted(page) if FILE.fullmatch(word)}
    links = set(re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text()))

    missing = {file for file in files if not (ROOT / file).exists()}
    broken = {link for link in links if not (page.parent / link).exists()}

    assert (missing, broken) == (set(), set())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_name_of_the_code_on_a_page_is_in_the_code(page: Path) -> None:
    names = {word.rstrip("()") for word in quoted(page) if NAME.fullmatch(word)} - THEIRS

    ours = {name for name in names if not name.startswith("FEWSTEP_")}
    unknown = {name for name in ours if not re.search(rf"\b{name}\b", CODE)}

    assert unknown == set()


def test_every_warning_is_explained_and_no_other() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()

    explained = re.findall(r"^\| `([a-z-]+)` \|", page.partition("## Warnings\n")[2], re.MULTILINE)

    assert sorted(explained) == sorted(WARNINGS)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout of git")
def test_what_following_the_pages_writes_is_ignored_by_git() -> None:
    written = [
        "examples/plugin/build/lib/fewstep_gestures/network.py",
        "examples/plugin/fewstep_example_plugin.egg-info/PKG-INFO",
        "phi.safetensors",
        "runs/examples/characters.png",
        "runs/gestures/scalars.csv",
    ]

    ignored = subprocess.run(
        ["git", "check-ignore", *written], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ignored.stdout.split() == written
