"""A folder of pictures becomes a checkpoint with two commands, and serves classes it never saw."""

import subprocess
from pathlib import Path

import httpx
import pytest

from tests.journey.requests import Json, adapt, data_url, predict_one
from tests.own_pictures import draw_folder
from tests.processes import FEWSTEP, Service, clean_environment

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
NAME = "own-characters"
CLASSES, PICTURES, SHOTS = 32, 8, 3
RECIPE = """
name = "short"
task = "classification"
seed = 1
max_way = 10

[distribution]
name = "pictures"
size = 28
mode = "L"
invert = true
distort = 0.5
test = 0.25

[network]
name = "conv4"
filters = 32
pooled = false
flatten = false

[head]
kind = "prototype"
scale = 0.1

[inner_loop]
steps = 3
step_size = 0.05
prior_examples = 20

[[stages]]
algorithm = "prototypes"
iterations = 300
episodes = 1
way = 20
shot = 1
query = 3
inner_steps = 0
learning_rate = 2e-3
final_learning_rate = 1e-4
head_scale = 0.2

[[stages]]
iterations = 20
episodes = 2
way = 10
shot = [1, 5]
query = 5
inner_steps = 3
learning_rate = 5e-5
final_learning_rate = 1e-6

[validation]
every = 160
episodes = 20
way = 5
shot = 1
query = 5
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of character folders."""
    folder = tmp_path_factory.mktemp("drawn")
    return draw_folder(folder, classes=CLASSES, pictures=PICTURES)


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The checkpoint file of a short run, and what the command said."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "short.toml").write_text(RECIPE)
    chosen = ("--data", str(pictures), "--name", NAME, "--threads", "1")
    said = run("train", "short.toml", *chosen, folder=folder, XDG_CACHE_HOME=str(folder / "cache"))
    return folder / "runs" / NAME / f"{NAME}.safetensors", said


@pytest.fixture(scope="module")
def added(trained: tuple[Path, str], service: Service) -> str:
    """What adding the file to the running service said."""
    file, _ = trained
    data_dir = str(service.data_dir)
    return run("checkpoints", "add", str(file), folder=file.parent, FEWSTEP_DATA_DIR=data_dir)


@pytest.fixture(scope="module")
def held_out(service: Service, added: str) -> list[str]:
    """The characters that the checkpoint itself says it was not trained on."""
    answer = httpx.get(f"{service.base_url}/checkpoints/{NAME}")
    characters: list[str] = answer.json()["provenance"]["data"]["test_classes"]
    return characters


def run(*arguments: str, folder: Path, **variables: str) -> str:
    """The standard output of a ``fewstep`` that succeeded."""
    ended = subprocess.run(
        [FEWSTEP, *arguments],
        cwd=folder,
        env=clean_environment(OMP_NUM_THREADS="1", **variables),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def picture(pictures: Path, name: str, number: int) -> str:
    return data_url((pictures / name / f"{number:02}.png").read_bytes())


def body(pictures: Path, names: list[str]) -> Json:
    """A request to adapt to the first pictures of these characters."""
    shown = [(name, number) for number in range(SHOTS) for name in names]
    inputs = [picture(pictures, name, number) for name, number in shown]
    return {"checkpoint": NAME, "support": {"inputs": inputs, "targets": [n for n, _ in shown]}}


def test_training_says_what_the_folder_could_not_give(trained: tuple[Path, str]) -> None:
    _, said = trained

    assert "stage 1: way 20 becomes 19 (train has 19 with 4 or more)" in said
    assert f"{NAME}.safetensors: 0." in said


def test_the_added_checkpoint_is_named_with_its_version_and_digest(
    client: httpx.Client, added: str
) -> None:
    shown = client.get(f"/checkpoints/{NAME}").json()

    assert added == f"{NAME}:1  {shown['digest']}\n"
    assert shown["provenance"]["command"] == f"fewstep train short.toml --name {NAME}"


def test_characters_it_never_saw_are_told_apart(
    client: httpx.Client, pictures: Path, held_out: list[str]
) -> None:
    adaptation = adapt(client, body(pictures, held_out))

    asked = [(name, number) for name in held_out for number in range(SHOTS, PICTURES)]
    labels = [predict_one(client, adaptation, picture(pictures, *one))["label"] for one in asked]

    assert len(held_out) == 8
    right = sum(label == name for label, (name, _) in zip(labels, asked, strict=True))
    assert right / len(asked) >= 0.85
