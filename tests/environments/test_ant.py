"""The ant against MuJoCo alone, Gymnasium's, and the laws of motion."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mujoco")

from models.environments.ant import Ant, ant_direction, ant_velocity
from models.environments.simulation import BODIES, Simulation, load_body
from tests.environments.plain import Plain, play

ROUNDING = 1e-6  # float32's, in which observations and rewards are given, relative and absolute
GRAVITY, DT = 9.81, 0.02


def towards(speed: float, task: float) -> float:
    return task * speed


def at(speed: float, task: float) -> float:
    return 1 - abs(speed - task)


@pytest.mark.parametrize(
    ("environment", "wanted"), [(ant_direction(), towards), (ant_velocity(), at)]
)
def test_every_step_is_that_of_a_loop_over_mujoco_until_it_falls(
    environment: Ant, wanted: Callable[[float, float], float]
) -> None:
    rng, model = np.random.default_rng(1), load_body("ant")
    tasks = environment.draw(4, rng)
    running = environment.start(tasks, 2, rng)
    bodies = [Plain.at(model, state) for state in running.state.reshape(8, -1)]
    fallen = np.zeros(8, dtype=bool)

    for _ in range(80):
        acted = 2 * rng.standard_normal((4, 2, 8)).astype(np.float32)
        rewards, terminated = running.step(acted)
        for index in np.flatnonzero(~fallen):
            body, (task,) = bodies[index], tasks[index // 2]
            taken = np.clip(acted.reshape(8, 8)[index], -1, 1).astype(float)
            body.step(150 * taken)
            costs = 0.005 * np.square(taken).sum() + 0.0005 * np.square(body.forces).sum()
            expected = wanted(body.speed, task) - costs + 0.05
            fallen[index] = not 0.2 <= body.height <= 1.0
            seen = running.observations.reshape(8, -1)[index]
            np.testing.assert_allclose(seen, body.ant_sees(), ROUNDING, ROUNDING)
            assert rewards.flat[index] == pytest.approx(expected, ROUNDING, ROUNDING)
        np.testing.assert_array_equal(terminated.ravel(), fallen)

    assert 0 < fallen.sum() < 8  # both sorts were seen
    assert any(np.abs(body.forces).max() > 0 for body in bodies)


def test_moves_as_the_ant_of_gymnasium_with_this_body() -> None:
    gymnasium = pytest.importorskip("gymnasium")
    rival: Any = gymnasium.make(
        "Ant-v5", xml_file=str(BODIES / "ant.xml"), frame_skip=1, disable_env_checker=True
    ).unwrapped
    running = ant_direction().start(np.ones((1, 1)), 1, np.random.default_rng(2))
    rival.reset(seed=0)
    rival.set_state(*np.split(running.state[0, 0], [15]))
    actions = np.random.default_rng(3)

    for _ in range(40):
        acted = 0.3 * actions.uniform(-1, 1, 8).astype(np.float32)
        _, terminated = running.step(acted[None, None])
        rival.step(150 * acted)
        assert not terminated.any()

    state = np.concatenate([rival.data.qpos, rival.data.qvel])
    np.testing.assert_allclose(running.state[0, 0], state, rtol=1e-6, atol=1e-6)


def test_in_the_air_falls_by_gravity_whatever_the_motors_do() -> None:
    rng = np.random.default_rng(4)
    simulation = Simulation(load_body("ant"), 5, rng, forces=True, threads=1)
    simulation.qpos[:, 2] += 10
    (sensed,) = simulation.bind("sensordata")  # centre of mass, its velocity
    first = sensed[:, :6].copy()

    for _ in range(25):
        simulation.step(rng.uniform(-1, 1, (5, 8)))

    seconds = 25 * DT
    at_last = np.concatenate([first[:, :3] + seconds * first[:, 3:], first[:, 3:]], axis=1)
    at_last[:, 2] -= GRAVITY * seconds**2 / 2
    at_last[:, 5] -= GRAVITY * seconds
    np.testing.assert_allclose(sensed[:, :6], at_last, atol=2e-3)


def test_what_has_fallen_lies_where_it_fell() -> None:
    seen, _, terminated = play(ant_direction(), tasks=1, episodes=8, steps=120)

    ends = terminated[:, 0].argmax(axis=0)
    fallen = terminated[-1, 0]
    assert fallen.any()
    for episode in np.flatnonzero(fallen):
        assert terminated[ends[episode] :, 0, episode].all()
        np.testing.assert_array_equal(seen[ends[episode] + 1, 0, episode], seen[-1, 0, episode])


def test_directions_are_both_and_velocities_up_to_3() -> None:
    rng = np.random.default_rng(6)

    directions, velocities = (
        environment.draw(2000, rng) for environment in (ant_direction(), ant_velocity())
    )

    assert set(directions.ravel()) == {-1.0, 1.0}
    assert (velocities.min() >= 0) & (velocities.max() <= 3)
    assert abs(velocities.mean() - 1.5) < 1.5 * 4 / np.sqrt(3 * 2000)


def test_the_number_of_threads_changes_nothing() -> None:
    alone, shared = (play(ant_velocity(threads=threads), tasks=5) for threads in (1, 2))

    for one, other in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_episode_knows_nothing_of_those_beside_it() -> None:
    alone, among = (play(ant_direction(), tasks=tasks) for tasks in (1, 4))

    np.testing.assert_array_equal(alone[0][:, 0], among[0][:, 0])
