"""Environments by name: ours, those of installed packages, and what is said of others."""

from pathlib import Path

import numpy as np
import pytest

from models.environments import opening
from models.environments.opening import open_environment
from tests.house.test_walls import loaded_by

EXAMPLE = Path(__file__).parents[2] / "examples" / "environment"
OURS = ["ant-direction", "ant-velocity", "half-cheetah-direction", "half-cheetah-velocity"]


@pytest.mark.parametrize("name", OURS)
def test_every_simulated_environment_opens_and_steps_as_it_says(name: str) -> None:
    pytest.importorskip("mujoco")
    environment = open_environment({"name": name, "threads": 1})
    rng = np.random.default_rng(0)
    shape = (2, 3, environment.action_size)

    running = environment.start(environment.draw(2, rng), 3, rng)
    rewards, terminated = running.step(np.zeros(shape, np.float32))

    assert environment.name == name
    assert running.observations.shape == (2, 3, environment.observation_size)
    assert (rewards.shape, rewards.dtype, terminated.shape) == ((2, 3), np.float32, (2, 3))
    assert len(environment.low) == len(environment.high) == environment.action_size


def test_nothing_but_numpy_is_loaded_before_an_environment_begins() -> None:
    loaded = loaded_by("models.environments.opening", "models.environments.half_cheetah")

    assert loaded.isdisjoint({"mujoco", "gymnasium", "torch"})


def test_says_what_to_install_where_mujoco_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda name: None)

    with pytest.raises(ValueError, match=r"needs MuJoCo 4: pip install 'fewstep\[rl\]'"):
        open_environment({"name": "ant-velocity"})


def test_an_installed_package_adds_an_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gymnasium")
    about = tmp_path / "added_by_a_test-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: added-by-a-test\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[fewstep.environments]\nangle-of-a-test = fewstep_pendulum.tasks:open_pendulum\n"
    )
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.syspath_prepend(str(tmp_path))

    environment = open_environment({"name": "angle-of-a-test"})
    tasks = np.array([[0.0], [1.0]])
    running = environment.start(tasks, 1, np.random.default_rng(1))
    rewards, _ = running.step(np.zeros((2, 1, 1), np.float32))

    angles = np.arctan2(running.observations[..., 1], running.observations[..., 0])
    np.testing.assert_allclose(rewards, -np.abs(angles - tasks), rtol=1e-5, atol=1e-6)


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"unknown environment 'mars'.*half-cheetah-velocity"):
        open_environment({"name": "mars"})
