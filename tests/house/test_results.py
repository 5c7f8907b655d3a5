"""The page of results: nothing on it is made up, and it is what its records say."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import benchmarks.published.reproduce as reproducing
from app.cli.main import app
from app.trainings.data import checkpoint_file
from benchmarks.published.results import keep_records, load_records, number, render
from models.measuring.reproductions import Measure, Row, find_row, read_rows
from models.meta_training.recipes import read_recipe

DOCS = Path(__file__).parents[2] / "docs"


def record(row: Row, measure: Measure, **more: Any) -> dict[str, Any]:
    shape = {key: getattr(measure, key) for key in ("protocol", "way", "shot", "query", "steps")}
    task = "regression" if measure.way == 1 else "classification"
    return {"row": row.name, "task": task, "mean": 0.9, "ci95": 0.01, "training": None} | {
        **shape,
        "adapts": measure.adapts,
        "command": f"fewstep reproduce {row.name}",
        "digest": "",
        **more,
    }


def test_a_row_without_a_record_says_why_it_is_not_measured() -> None:
    page = render(read_rows(), [])

    assert "not measured" in page
    assert "MiniImagenet 5-way 1-shot: the pictures of MiniImagenet" in page


def test_an_experiment_of_the_paper_is_adapted_as_it_was_trained() -> None:
    rows = [row for row in read_rows() if row.recipe and row.recipe.startswith("paper/")]

    for row in rows:
        trained = read_recipe(str(row.recipe)).inner_loop.adapts
        assert {measure.adapts for measure in row.measures} == {trained}, row.name


def test_a_measured_number_stands_beside_the_papers() -> None:
    row = find_row("paper/omniglot-5way-1shot")

    page = render([row], [record(row, measure) for measure in row.measures])

    assert "98.7 ± 0.4 | 99.53 (Meta-SGD) | 90.00 ± 1.00 | 90.00 ± 1.00 | 90.00 ± 1.00" in page


def test_errors_are_not_shown_in_percent() -> None:
    assert number({"task": "regression", "mean": 0.28, "ci95": 0.0371}) == "0.280 ± 0.037"


def test_a_new_measurement_takes_the_place_of_the_rows_older_ones(tmp_path: Path) -> None:
    sinusoid, other = find_row("paper/sinusoid"), find_row("baselines/sinusoid-oracle")
    keep_records(tmp_path, [record(other, other.measures[0])])
    keep_records(tmp_path, [record(sinusoid, measure, mean=1.0) for measure in sinusoid.measures])

    keep_records(tmp_path, [record(sinusoid, sinusoid.measures[0], mean=2.0)])

    kept = load_records(tmp_path)
    assert [(r["row"], r["mean"]) for r in kept] == [
        ("paper/sinusoid", 2.0),
        ("baselines/sinusoid-oracle", 0.9),
    ]
    assert json.loads((tmp_path / "results.json").read_text())["records"] == kept


def test_the_page_of_results_is_what_its_records_say() -> None:
    assert (DOCS / "results.md").read_text() == render(read_rows(), load_records(DOCS))


def test_every_number_belongs_to_the_committed_file() -> None:
    measured = {record["row"]: record.get("digest") for record in load_records(DOCS)}

    for name, digest in measured.items():
        checkpoint = find_row(name).checkpoint
        if checkpoint is not None:
            data = checkpoint_file(checkpoint).read_bytes()
            assert hashlib.sha256(data).hexdigest() == digest, name


def test_what_is_committed_is_measured_without_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reproducing, "EPISODES", 2)

    shown = CliRunner().invoke(app, ["reproduce", "paper/sinusoid-first-order", "--committed"])
    first = list(tmp_path.iterdir())
    CliRunner().invoke(
        app, ["reproduce", "paper/sinusoid-first-order", "--committed", "--docs", "mine"]
    )

    assert shown.exit_code == 0
    assert "paper/sinusoid-first-order: " in shown.stdout
    assert first == []
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"results.json", "results.md"}
