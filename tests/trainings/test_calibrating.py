"""A training ends with a calibration; a file without one is given the same by a command."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.checkpoints.registry import committed_folder
from app.cli.main import app
from app.trainings.order import TrainingOrder
from app.trainings.running import run_training
from app.values.progress import Progress
from models.files.checkpoint import dump_checkpoint, load_checkpoint
from models.heads.novelty import Calibration
from tests.trainings.recipes import shortened, write_vectors


def command_line(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["checkpoints", "calibrate", *arguments])
    return result.exit_code, result.output


def test_a_classifier_is_calibrated_and_a_file_without_it_gets_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.trainings.publishing.TEST_EPISODES", 20)
    data, said = write_vectors(tmp_path / "features.npz"), list[str]()
    order = TrainingOrder(
        recipe=shortened("features", tmp_path, iterations=4, episodes=6),
        folder=tmp_path / "run",
        data=data,
    )
    file = run_training(order, progress=Progress(), say=said.append)
    assert file is not None
    trained = load_checkpoint(file.read_bytes())
    plain, made = tmp_path / "plain.safetensors", tmp_path / "made.safetensors"
    empty = replace(trained.learner, calibration=Calibration())
    plain.write_bytes(dump_checkpoint(replace(trained, learner=empty)))

    code, told = command_line(str(plain), "--data", str(data), "--out", str(made))

    assert code == 0, told
    again = load_checkpoint(made.read_bytes())
    assert trained.learner.calibration == again.learner.calibration != Calibration()
    assert again.evaluation == trained.evaluation
    assert trained.evaluation[0]["reliability"]["calibration_error"] < 1
    assert [line for line in said if line.startswith("expected calibration error")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sinusoid", "expected a classifier, got regression"),
        ("vectors", "nothing says what to calibrate it on"),
        ("nowhere", "no file nowhere"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_in_one_line(
    tmp_path: Path, name: str, said: str
) -> None:
    code, complaint = command_line(name, "--out", str(tmp_path / "out"))

    assert code == 2
    assert said in complaint
    assert len(complaint.splitlines()) == 1


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    there = tmp_path / "mine.safetensors"
    there.write_bytes((committed_folder() / "vectors.safetensors").read_bytes())

    code, complaint = command_line("omniglot-anyway", "--out", str(there))

    assert code == 2
    assert "is there already; name another file with --out" in complaint
