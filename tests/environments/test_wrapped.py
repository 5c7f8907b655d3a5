"""Somebody's Gymnasium environment as an environment of policies."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.environments.wrapped import Wrapped


@dataclass
class Box:
    low: NDArray[Any]
    high: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.low.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.low.dtype


@dataclass
class Discrete:
    n: int = 4
    dtype: Any = np.int64


class Counting:
    """Counts what is done to it; ends where the task says, by termination or else by a limit."""

    observation_space: Any = Box(np.full((2, 2), -np.inf), np.full((2, 2), np.inf))
    action_space: Any = Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        assert seed is not None
        assert options is not None
        (self.ends, self.terminates), self.taken = options["task"], 0
        self.seed = float(seed % 1000)
        return self.seen(np.zeros(2)), {}

    def seen(self, action: NDArray[Any]) -> NDArray[Any]:
        return np.array([[self.seed, self.taken], [*action]])

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        assert self.taken < self.ends
        self.taken += 1
        ended = self.taken == self.ends
        over = bool(self.terminates)
        return self.seen(action), 10.0 * self.taken, ended and over, ended and not over, {}


def wrapped(make: Any = Counting) -> Wrapped:
    return Wrapped(
        make,
        name="counting",
        draw=lambda count, rng: np.stack([rng.integers(1, 9, count), np.ones(count)], axis=1),
        max_episode_steps=8,
        dt=1.0,
        in_words="Counts.",
    )


def test_takes_sizes_and_bounds_from_the_spaces() -> None:
    environment = wrapped()

    assert (environment.observation_size, environment.action_size) == (4, 2)
    assert (environment.low, environment.high) == ((-2.0, 0.0), (2.0, 10.0))


def test_scales_actions_to_the_bounds_and_cuts_what_is_beyond() -> None:
    running = wrapped().start(np.array([[8.0, 1.0]]), 3, np.random.default_rng(0))

    running.step(np.array([[[0.0, 0.0], [0.5, -0.5], [-7.0, 7.0]]], np.float32))

    np.testing.assert_array_equal(
        running.observations[0, :, 2:], [[0.0, 5.0], [1.0, 2.5], [-2.0, 10.0]]
    )


@pytest.mark.parametrize("terminates", [0.0, 1.0])
def test_an_episode_that_ends_is_left_alone_and_the_others_go_on(terminates: float) -> None:
    tasks = np.array([[2.0, terminates], [3.0, terminates]])
    running = wrapped().start(tasks, 1, np.random.default_rng(0))
    still = np.zeros((2, 1, 2), np.float32)

    rewards, ended = zip(*(running.step(still) for _ in range(4)), strict=True)

    np.testing.assert_array_equal(np.ravel(rewards), [10, 10, 20, 20, 0, 30, 0, 0])
    np.testing.assert_array_equal(np.ravel(ended), [0, 0, 1, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(running.observations[:, 0, 1], [2, 3])


def test_the_same_seed_begins_the_same_episodes_and_each_is_another() -> None:
    environment, tasks = wrapped(), np.array([[8.0, 1.0]] * 2)

    seeds, again = (
        environment.start(tasks, 3, np.random.default_rng(1)).observations[..., 0].ravel()
        for _ in range(2)
    )

    np.testing.assert_array_equal(seeds, again)
    assert len(set(seeds)) == 6


def test_refuses_a_space_that_is_no_box_of_floats() -> None:
    class Choosing(Counting):
        action_space = Discrete()

    with pytest.raises(ValueError, match="action_space: expected a Box of floats, got Discrete"):
        wrapped(Choosing)


def test_refuses_actions_without_bounds() -> None:
    class Unbounded(Counting):
        action_space = Counting.observation_space

    with pytest.raises(ValueError, match="expected finite bounds"):
        wrapped(Unbounded)


def test_says_which_environment_gave_what_is_no_number() -> None:
    class Broken(Counting):
        def seen(self, action: NDArray[Any]) -> NDArray[Any]:
            return np.full((2, 2), np.nan if self.taken else 0.0)

    running = wrapped(Broken).start(np.array([[8.0, 1.0]]), 1, np.random.default_rng(0))

    with pytest.raises(ValueError, match="counting: expected finite numbers, got observation"):
        running.step(np.zeros((1, 1, 2), np.float32))


def test_steps_as_a_loop_over_gymnasium() -> None:
    gymnasium = pytest.importorskip("gymnasium")
    environment = Wrapped(
        lambda: gymnasium.make("Pendulum-v1"),
        name="pendulum",
        draw=lambda count, rng: np.zeros((count, 0)),
        max_episode_steps=200,
        dt=0.05,
        in_words="Gymnasium's pendulum.",
    )
    seed = int(np.random.default_rng(2).integers(2**31, size=1)[0])
    alone = gymnasium.make("Pendulum-v1")
    first, _ = alone.reset(seed=seed)
    running = environment.start(np.zeros((1, 0)), 1, np.random.default_rng(2))
    np.testing.assert_array_equal(running.observations[0, 0], first)

    for action in np.random.default_rng(3).uniform(-1, 1, 50).astype(np.float32):
        rewards, ended = running.step(np.full((1, 1, 1), action))
        seen, reward, *_ = alone.step(np.array([2 * action]))
        np.testing.assert_allclose(running.observations[0, 0], seen, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(rewards, reward, rtol=1e-5)
        assert not ended.any()
