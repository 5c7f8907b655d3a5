"""A package that was installed beside Fewstep adds a network and a task distribution to it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.files.checkpoint import InvalidCheckpoint, load_checkpoint
from models.tasks.opening import open_distribution
from tests.processes import FEWSTEP

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "plugin"
SHORT = {"iterations = 1500": "iterations = 20", "iterations = 200": "iterations = 5"}
# Under names of its own, for the example itself may be installed here.
OURS = {
    'name = "fewstep-example-plugin"': 'name = "fewstep-plugin-of-a-test"',
    'conv1d = "': 'conv1d_of_a_test = "',
    'gestures = "': 'gestures_of_a_test = "',
}


def run(command: list[str], folder: Path, **variables: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def replaced(text: str, words: dict[str, str]) -> str:
    for old, new in words.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, installed from a copy and without a network."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(PLUGIN, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    about = folder / "source" / "pyproject.toml"
    about.write_text(replaced(about.read_text(), OURS))
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    offline = ["--no-index", "--disable-pip-version-check", "--target", str(folder / "site")]
    run([*pip, *offline, str(folder / "source")], folder)
    return folder / "site"


@pytest.fixture(scope="module")
def trained(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the package's network and tasks, after a few outer steps."""
    folder = tmp_path_factory.mktemp("run")
    ours = {
        '[network]\nname = "conv1d"': '[network]\nname = "conv1d_of_a_test"',
        '[distribution]\nname = "gestures"': '[distribution]\nname = "gestures_of_a_test"',
    }
    text = replaced((PLUGIN / "gestures.toml").read_text(), SHORT | ours)
    (folder / "gestures.toml").write_text(text)
    command = [FEWSTEP, "train", "gestures.toml", "--out", "run", "--threads", "1"]
    run(command, folder, PYTHONPATH=f"{installed}:{ROOT}")
    return folder / "run" / "gestures.safetensors"


def test_an_added_network_is_trained_on_added_tasks_and_evaluated(
    installed: Path, trained: Path
) -> None:
    command = [FEWSTEP, "evaluate", str(trained), "--episodes", "20"]

    said = run(command, trained.parent, PYTHONPATH=f"{installed}:{ROOT}")

    assert "gestures: accuracy 0." in said
    assert "5-way 1-shot" in said


def test_its_checkpoint_loads_only_where_the_package_is_installed(trained: Path) -> None:
    with pytest.raises(InvalidCheckpoint, match=r"unknown network 'conv1d_of_a_test'.*conv4"):
        load_checkpoint(trained.read_bytes())


def test_its_tasks_are_unknown_where_it_is_not_installed() -> None:
    with pytest.raises(
        ValueError, match=r"unknown task distribution 'gestures_of_a_test'.*omniglot"
    ):
        open_distribution({"name": "gestures_of_a_test"}, folder=None)
