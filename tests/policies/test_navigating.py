"""2D navigation over HTTP, from a client process, learns as the library does on the same goals."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.environments.navigation import Navigation
from models.files.checkpoint import load_checkpoint
from models.policies.advantages import Discounting
from models.policies.evaluating import returns_by_round
from models.policies.policy import Policy
from tests.both_kinds import EMBEDDED, running_kind
from tests.processes import Service

ROOT = Path(__file__).parents[2]
GOALS = np.random.default_rng(20261127).uniform(-0.5, 0.5, (6, 2))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_kind(EMBEDDED, tmp_path_factory.mktemp("navigating")) as running:
        yield running


def run(service: Service, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | {"FEWSTEP_URL": service.base_url},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.e2e
def test_three_rounds_over_http_are_the_librarys(service: Service) -> None:
    curves = []
    for goal in GOALS:
        said = run(service, "examples/policies/navigate.py", *(f"{x:.6f}" for x in goal))
        curves.append([float(word) for word in re.findall(r": (-[0-9.]+)$", said, re.MULTILINE)])
    found = np.array(curves).T
    checkpoint = load_checkpoint(
        (ROOT / "models/checkpoints/point-navigation.safetensors").read_bytes()
    )
    acting = checkpoint.acting
    assert acting is not None
    expected = returns_by_round(
        Policy(network=checkpoint.learner.network, actions=2),
        checkpoint.meta.theta,
        Navigation(),
        np.repeat(GOALS, 4, axis=0),
        episodes=20,
        step_sizes=acting.step_sizes,
        how=Discounting(gamma=0.99, gae_lambda=1.0, max_episode_steps=100),
        seed=[7],
    ).numpy()

    by_goal = expected.reshape(4, len(GOALS), 4)
    apart = found - by_goal.mean(axis=2)
    error = np.sqrt((by_goal.var(axis=2, ddof=1) * (1 + 1 / 4)).sum(axis=1)) / len(GOALS)
    assert (np.abs(apart.mean(axis=1)) < 3 * error + 0.2).all(), (found.mean(axis=1), error)
    assert found[3].mean() > found[1].mean() > found[0].mean()


def test_the_lines_of_the_page_act(service: Service) -> None:
    page = (ROOT / "docs" / "policies.md").read_text()
    [lines] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)

    assert "acts (2,)" in run(service, "-c", lines)
