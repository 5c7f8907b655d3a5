"""The half-cheetah against MuJoCo alone, Gymnasium's, and the laws of motion."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco")

from models.environments.half_cheetah import (
    HalfCheetah,
    PlanarChain,
    half_cheetah_direction,
    half_cheetah_velocity,
)
from models.environments.simulation import Simulation, load_body
from tests.environments.plain import Plain, play

ROUNDING = 1e-6  # float32's, in which observations and rewards are given, relative and absolute
GRAVITY, DT = 9.81, 0.01


def towards(speed: float, task: float) -> float:
    return task * speed


def at(speed: float, task: float) -> float:
    return -abs(speed - task)


@pytest.mark.parametrize(
    ("environment", "wanted"), [(half_cheetah_direction(), towards), (half_cheetah_velocity(), at)]
)
def test_every_step_is_that_of_a_loop_over_mujoco(
    environment: HalfCheetah, wanted: Callable[[float, float], float]
) -> None:
    rng, model = np.random.default_rng(1), load_body("half_cheetah")
    tasks = environment.draw(3, rng)
    running = environment.start(tasks, 2, rng)
    bodies = [Plain.at(model, state) for state in running.state.reshape(6, -1)]

    for _ in range(60):
        acted = 1.5 * rng.standard_normal((3, 2, 6)).astype(np.float32)
        rewards, terminated = running.step(acted)
        expected = []
        for body, action, (task,) in zip(
            bodies, acted.reshape(6, 6), np.repeat(tasks, 2, axis=0), strict=True
        ):
            taken = np.clip(action, -1, 1).astype(float)
            body.step(taken)
            expected.append(wanted(body.speed, task) - 0.05 * np.square(taken).sum())
        seen = np.array([body.half_cheetah_sees() for body in bodies]).reshape(3, 2, 20)
        np.testing.assert_allclose(running.observations, seen, ROUNDING, ROUNDING)
        np.testing.assert_allclose(rewards.ravel(), expected, ROUNDING, ROUNDING)
        assert not terminated.any()


def test_moves_as_the_half_cheetah_of_gymnasium(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gymnasium = pytest.importorskip("gymnasium")
    monkeypatch.chdir(tmp_path)  # where MuJoCo logs that Gymnasium's file uses old words
    rival = gymnasium.make("HalfCheetah-v5", frame_skip=1, disable_env_checker=True).unwrapped
    running = half_cheetah_direction().start(np.ones((1, 1)), 1, np.random.default_rng(2))
    rival.reset(seed=0)
    rival.set_state(*np.split(running.state[0, 0], [9]))
    actions = np.random.default_rng(3)

    for _ in range(100):
        acted = actions.uniform(-1, 1, 6).astype(np.float32)
        running.step(acted[None, None])
        rival.step(acted)

    state = np.concatenate([rival.data.qpos, rival.data.qvel])
    np.testing.assert_allclose(running.state[0, 0], state, rtol=1e-6, atol=1e-6)  # chaos, of 1e-15
    assert rival.dt == DT


def test_in_the_air_falls_by_gravity_and_keeps_its_speed_whatever_the_motors_do() -> None:
    model, rng = load_body("half_cheetah"), np.random.default_rng(4)
    simulation, chain = Simulation(model, 5, rng, forces=False, threads=1), PlanarChain(model)
    simulation.qpos[:, 1] += 10
    _, height, speed = chain.centre_of_mass(simulation.qpos, simulation.qvel)

    heights = [height]
    for _ in range(50):
        simulation.step(0.1 * rng.uniform(-1, 1, (5, 6)))
        _, height, after = chain.centre_of_mass(simulation.qpos, simulation.qvel)
        heights.append(height)

    falls = np.diff(heights, n=2, axis=0) / DT**2  # Euler's, good to the first order of DT
    np.testing.assert_allclose(falls.mean(axis=0), -GRAVITY, rtol=1e-3)
    np.testing.assert_allclose(after, speed, atol=1e-3)


def test_weighs_14_kg() -> None:
    assert load_body("half_cheetah").body_subtreemass[0] == pytest.approx(14, abs=1e-12)


def test_lies_still_at_last_where_no_motor_moves() -> None:
    environment = half_cheetah_direction()
    running = environment.start(np.ones((1, 1)), 3, np.random.default_rng(5))
    still = np.zeros((1, 3, 6), np.float32)

    for _ in range(600):
        rewards, _ = running.step(still)

    np.testing.assert_allclose(rewards, 0, atol=1e-2)
    assert ((running.observations[..., 19] > 0) & (running.observations[..., 19] < 0.7)).all()


def test_directions_are_both_and_velocities_up_to_2() -> None:
    rng = np.random.default_rng(6)

    directions, velocities = (
        environment.draw(2000, rng)
        for environment in (half_cheetah_direction(), half_cheetah_velocity())
    )

    assert set(directions.ravel()) == {-1.0, 1.0}
    assert abs(directions.mean()) < 4 / np.sqrt(2000)
    assert velocities.min() >= 0
    assert velocities.max() <= 2
    assert abs(velocities.mean() - 1) < 4 / np.sqrt(3 * 2000)


def test_begins_with_the_deviations_of_rllab() -> None:
    running = half_cheetah_direction().start(np.ones((1, 1)), 2000, np.random.default_rng(7))

    deviations = running.state[0].std(axis=0)

    np.testing.assert_allclose(deviations[:9], 0.01, rtol=0.1)
    np.testing.assert_allclose(deviations[9:], 0.1, rtol=0.1)


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    alone, shared = (play(half_cheetah_velocity(threads=count), tasks=7) for count in (1, threads))

    for one, other in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_episode_knows_nothing_of_those_beside_it() -> None:
    alone, among = (play(half_cheetah_direction(), tasks=tasks) for tasks in (1, 5))

    np.testing.assert_array_equal(alone[0][:, 0], among[0][:, 0])


def test_another_seed_is_another_episode() -> None:
    one, other = (play(half_cheetah_direction(), tasks=1, seed=seed)[0][0] for seed in (1, 2))

    assert (one != other).any()


def test_two_that_run_at_once_do_not_meet() -> None:
    environment, still = half_cheetah_direction(), np.zeros((1, 1, 6), np.float32)
    tasks = np.ones((1, 1))
    alone = environment.start(tasks, 1, np.random.default_rng(8))
    alone.step(still)

    first = environment.start(tasks, 1, np.random.default_rng(8))
    second = environment.start(tasks, 1, np.random.default_rng(9))
    second.step(still)
    first.step(still)

    np.testing.assert_array_equal(first.state, alone.state)
