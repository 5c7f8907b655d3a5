"""All figures into docs/performance.json, and the page and plots that are made of it.

    python -m benchmarks.report [--only NAME ...] [--short] [--render]

Every module runs as a process of its own, one after the other, the library contests in .venv-peers.
A figure that was not measured keeps its earlier record; --render measures nothing.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, describe_run
from benchmarks.page import render
from benchmarks.plots import draw_all
from benchmarks.timing import say

DOCS = ROOT / "docs"
PEERS = ROOT / ".venv-peers" / "bin" / "python"
ON_GPU = ("adapting", "outer_steps")
CONTESTS = (*ON_GPU, "heads")
SERVICE = tuple(
    f"service_{name}" for name in ("roundtrip", "cpu", "predict", "neighbours", "memory", "growth")
)
MODULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    *((name, ()) for name in CONTESTS),
    *((name, ("--device", "cuda")) for name in ON_GPU),
    *((name, ()) for name in SERVICE),
)


def run_module(name: str, options: tuple[str, ...]) -> list[dict[str, Any]]:
    """The figures that one module prints; raises RuntimeError where it fails or prints none."""
    python = str(PEERS) if name in CONTESTS and PEERS.exists() else sys.executable
    command = [python, "-m", f"benchmarks.{name}", *options]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"benchmarks.{name} ended with {done.returncode}")
    return as_figures(done.stdout)


def as_figures(stdout: str) -> list[dict[str, Any]]:
    """The figures of a module's stdout: one JSON document or a list of them."""
    try:
        said = json.loads(stdout)
    except ValueError as error:
        raise RuntimeError(f"expected JSON alone on stdout, got {stdout[:80]!r}") from error
    return said if isinstance(said, list) else [said]


def keep_figures(folder: Path, figures: list[dict[str, Any]], run: dict[str, Any]) -> None:
    """Puts figures in the place of their earlier records, new ones at the end."""
    kept = {one["figure"]: one for one in load_figures(folder)}
    for one in figures:
        known = kept.get(one["figure"])
        if known and one["headline"].startswith("not measured") and known["rows"]:
            continue  # what another machine measured stays
        kept[one["figure"]] = one | {"run": run}
    document = {"command": "make bench", "figures": list(kept.values())}
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (folder / "performance.json").write_text(text + "\n")


def load_figures(folder: Path) -> list[dict[str, Any]]:
    file = folder / "performance.json"
    if not file.exists():
        return []
    figures: list[dict[str, Any]] = json.loads(file.read_text())["figures"]
    return figures


def measure(only: list[str], *, short: bool) -> list[str]:
    """Runs the modules and keeps what they say; gives what went wrong."""
    failed = []
    for name, options in MODULES:
        if only and name not in only:
            continue
        if not (ROOT / "benchmarks" / f"{name}.py").exists():
            failed.append(f"benchmarks.{name} does not exist")
            continue
        say(f"== benchmarks.{name} {' '.join(options)}")
        try:
            figures = run_module(name, options + (("--short",) if short else ()))
        except RuntimeError as error:
            failed.append(str(error))
            continue
        keep_figures(DOCS, figures, describe_run())
    return failed


def write_page() -> None:
    figures = load_figures(DOCS)
    plots = draw_all(figures, DOCS / "images")
    (DOCS / "performance.md").write_text(render(figures))
    say(f"wrote docs/performance.md and {len(plots)} plots")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="modules to run")
    parser.add_argument("--short", action="store_true", help="small sizes, to try the harness")
    parser.add_argument("--render", action="store_true", help="only the page and the plots")
    chosen = parser.parse_args()
    failed = [] if chosen.render else measure(chosen.only, short=chosen.short)
    write_page()
    for line in failed:
        say(line)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
