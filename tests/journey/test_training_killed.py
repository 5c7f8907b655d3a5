"""`fewstep train`, killed at a random step and started again: the bytes of an unbroken run."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.processes import FEWSTEP, clean_environment

RECIPE = """
name = "vectors"
task = "classification"
seed = 3
max_way = 5

[distribution]
name = "features"

[network]
name = "mlp"
hidden = [24, 16]
normalised = true

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
iterations = 500
episodes = 2
way = [3, 5]
shot = 1
query = 2
inner_steps = 0
learning_rate = 1e-3
final_learning_rate = 1e-4

[[stages]]
iterations = 500
episodes = 2
way = 5
shot = [1, 2]
query = 2
inner_steps = 2
learning_rate = 1e-3
final_learning_rate = 1e-5
multi_step_loss = 100

[validation]
every = 150
episodes = 20
way = 5
shot = 1
query = 2
"""
STEPS = 1000


@pytest.mark.e2e
def test_a_training_killed_at_random_steps_ends_with_the_same_bytes(tmp_path: Path) -> None:
    write_data(tmp_path)
    seed = random.randrange(2**32)
    chance = random.Random(seed)

    finish(train(tmp_path, "unbroken"))
    # one kill before the first state is saved, one in each stage
    parts = ((1, 190), (210, 490), (510, 990))
    stops = [chance.randint(*part) for part in parts]
    reached = [kill_at(train(tmp_path, "broken"), tmp_path / "broken", step) for step in stops]
    finish(train(tmp_path, "broken"))

    assert all(0 < step < STEPS for step in reached), reached
    for name in ("vectors.safetensors", "state.safetensors"):
        unbroken, broken = (tmp_path / run / name for run in ("unbroken", "broken"))
        assert broken.read_bytes() == unbroken.read_bytes(), f"{name}, seed {seed}, {reached}"


def write_data(folder: Path) -> None:
    draw = np.random.default_rng(8)
    centres = draw.normal(size=(30, 12))
    y = np.repeat(np.arange(30), 8)
    x = centres[y] + draw.normal(size=(240, 12)) * 0.5
    np.savez(folder / "vectors.npz", x=x.astype(np.float32), y=y)
    (folder / "vectors.toml").write_text(RECIPE)


def train(folder: Path, run: str) -> "subprocess.Popen[bytes]":
    command = [FEWSTEP, "train", "vectors.toml", "--data", "vectors.npz", "--out", run]
    environment = clean_environment(XDG_CACHE_HOME=str(folder / "cache"), PYTHONUNBUFFERED="1")
    with (folder / f"{run}.log").open("ab") as log:
        return subprocess.Popen(
            [*command, "--threads", "1"], cwd=folder, env=environment, stdout=log, stderr=log
        )


def finish(process: "subprocess.Popen[bytes]") -> None:
    assert process.wait(timeout=120) == 0


def kill_at(process: "subprocess.Popen[bytes]", run: Path, step: int) -> int:
    """kill -9 as soon as the log shows this step; the step that it had come to."""
    deadline = time.monotonic() + 120
    while steps_done(run) < step:
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    return steps_done(run)


def steps_done(run: Path) -> int:
    log = run / "log.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    return len([line for line in lines if line.endswith("}") and json.loads(line)])
