"""`fewstep train`, killed at a random step and started again: the bytes of an unbroken run."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.processes import FEWSTEP, clean_environment

RECIPE = """
name = "letters"
task = "classification"
seed = 3
input_shape = [1, 28, 28]
max_way = 5

[distribution]
name = "omniglot"
distort = 0.7

[network]
name = "conv4"
channels = 1
filters = 8
pooled = false
flatten = false

[head]
kind = "prototype"
scale = 0.1

[inner_loop]
steps = 2
step_size = 0.05
learned = true
prior_examples = 10

[[stages]]
algorithm = "prototypes"
iterations = 250
episodes = 1
way = [3, 8]
shot = 1
query = 2
inner_steps = 0
learning_rate = 1e-3
final_learning_rate = 1e-4

[[stages]]
iterations = 150
episodes = 2
way = 5
shot = [1, 2]
query = 2
inner_steps = 2
learning_rate = 1e-4
final_learning_rate = 1e-5
multi_step_loss = 40

[validation]
every = 120
episodes = 4
way = 5
shot = 1
query = 2
"""


@pytest.mark.e2e
def test_a_training_killed_at_random_steps_ends_with_the_same_bytes(
    omniglot_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "letters.toml").write_text(RECIPE)
    seed = random.randrange(2**32)
    chance = random.Random(seed)

    finish(train(tmp_path, "unbroken", omniglot_dir))
    kills = [chance.randint(1, 240), chance.randint(241, 390)]
    for step in kills:
        kill_after(train(tmp_path, "broken", omniglot_dir), tmp_path / "broken", step)
    finish(train(tmp_path, "broken", omniglot_dir))

    for name in ("letters.safetensors", "state.safetensors"):
        unbroken, broken = (tmp_path / run / name for run in ("unbroken", "broken"))
        assert broken.read_bytes() == unbroken.read_bytes(), f"{name}, seed {seed}, {kills}"


def train(folder: Path, run: str, omniglot: Path) -> "subprocess.Popen[bytes]":
    command = [FEWSTEP, "train", "letters.toml", "--out", run, "--threads", "1"]
    cache = os.environ.get("XDG_CACHE_HOME", str(folder / "cache"))
    environment = clean_environment(FEWSTEP_OMNIGLOT=str(omniglot), XDG_CACHE_HOME=cache)
    with (folder / f"{run}.log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def finish(process: "subprocess.Popen[bytes]") -> None:
    assert process.wait(timeout=240) == 0


def kill_after(process: "subprocess.Popen[bytes]", run: Path, step: int) -> None:
    """kill -9 once the log, which is written in blocks, or the clock says so."""
    saved = run / "state.safetensors"
    deadline = time.monotonic() + 120
    before = saved.stat().st_mtime_ns if saved.is_file() else 0
    while process.poll() is None and time.monotonic() < deadline:
        moved = saved.is_file() and saved.stat().st_mtime_ns > before
        if moved and step > 200:
            break
        if step <= 200 and (run / "log.jsonl").is_file():
            time.sleep(step / 100)
            break
        time.sleep(0.005)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
