"""Any Gymnasium environment with boxes for observations and actions, as an ``Environment``.

Gymnasium itself is not imported: who hands an environment in has it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.environments.protocol import Floats

LARGEST_SEED = 2**31


class GymnasiumEnvironment(Protocol):
    """As much of gymnasium.Env as is used; ``reset`` finds the task in options["task"], (P,)."""

    observation_space: Any
    action_space: Any

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]: ...

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]: ...


class Wrapped:
    """An ``Environment`` of E × B Gymnasium environments that step one after the other.

    make: a new environment; draw: (count, P) tasks; in_words: task, observation, action and reward
    in prose. They are made once and used again, so ``start`` ends what was begun before. An episode
    that the environment truncates before ``max_episode_steps`` ends there.

    Raises ValueError for spaces other than boxes and for actions without bounds.
    """

    def __init__(
        self,
        make: Callable[[], GymnasiumEnvironment],
        *,
        name: str,
        draw: Callable[[int, np.random.Generator], NDArray[np.float64]],
        max_episode_steps: int,
        dt: float,
        in_words: str,
    ) -> None:
        self.name, self.in_words = name, in_words
        self.max_episode_steps, self.dt = max_episode_steps, dt
        self._make, self._draw = make, draw
        self._made, self._begun = [make()], 0
        seen = _box(self._made[0].observation_space, f"{name}: observation_space")
        acted = _box(self._made[0].action_space, f"{name}: action_space")
        self.observation_size, self.action_size = seen.low.size, acted.low.size
        self.low, self.high = _bounds(acted, name)

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        return self._draw(count, rng)

    def start(
        self, tasks: NDArray[np.float64], episodes: int, rng: np.random.Generator
    ) -> "_Running":
        count = len(tasks) * episodes
        self._made += [self._make() for _ in range(count - len(self._made))]
        self._begun += 1
        return _Running(self, self._made[:count], tasks, episodes, rng)

    @property
    def begun(self) -> int:
        """How often episodes were begun."""
        return self._begun


class _Running:
    observations: Floats

    def __init__(
        self,
        of: Wrapped,
        made: Sequence[GymnasiumEnvironment],
        tasks: NDArray[np.float64],
        episodes: int,
        rng: np.random.Generator,
    ) -> None:
        self._of, self._made, self._begun = of, made, of.begun
        self._low, self._high = np.array(of.low), np.array(of.high)
        shape = (len(tasks), episodes)
        self.observations = np.zeros((*shape, of.observation_size), np.float32)
        self._terminated = np.zeros(shape, dtype=bool)
        seeds = rng.integers(LARGEST_SEED, size=len(made))
        for environment, task, seed, seen in zip(
            made, np.repeat(tasks, episodes, axis=0), seeds, self._rows(), strict=True
        ):
            first, _ = environment.reset(seed=int(seed), options={"task": task})
            seen[:] = self._finite(first, "observation")

    def step(self, actions: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """What ended is left alone: its observation stays, its rewards are 0."""
        assert self._begun == self._of.begun, "other episodes have begun since"
        taken = self._low + (np.clip(actions, -1, 1) + 1) * 0.5 * (self._high - self._low)
        self.observations = self.observations.copy()
        rewards = np.zeros(self._terminated.shape, np.float32)
        ended = self._terminated.copy()
        for index, (environment, action, seen) in enumerate(
            zip(self._made, taken.reshape(len(self._made), -1), self._rows(), strict=True)
        ):
            if ended.flat[index]:
                continue
            box = environment.action_space
            after, reward, terminated, truncated, _ = environment.step(
                action.reshape(box.shape).astype(box.dtype)
            )
            seen[:] = self._finite(after, "observation")
            rewards.flat[index] = self._finite(reward, "reward")[0]
            ended.flat[index] = terminated or truncated
        self._terminated = ended
        return rewards, ended

    def _rows(self) -> Floats:
        return self.observations.reshape(len(self._made), -1)

    def _finite(self, given: Any, name: str) -> Floats:
        numbers = np.asarray(given, dtype=np.float32).ravel()
        if not np.isfinite(numbers).all():
            raise ValueError(f"{self._of.name}: expected finite numbers, got {name} {given}")
        return numbers


def _box(space: Any, name: str) -> Any:
    if not (hasattr(space, "low") and np.issubdtype(space.dtype, np.floating)):
        raise ValueError(
            f"{name}: expected a Box of floats, got {space}; gymnasium.wrappers turn others into it"
        )
    return space


def _bounds(space: Any, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    low, high = space.low.ravel().astype(float), space.high.ravel().astype(float)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise ValueError(f"{name}: action_space: expected finite bounds, got {space}")
    return tuple(low.tolist()), tuple(high.tolist())
