"""The same environment with its task in sight: what a policy reaches that has nothing to find
out (the oracle of Finn et al. 2017).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.environments.protocol import Environment, Floats, Running


@dataclass(slots=True)
class _Running:
    inside: Running
    tasks: Floats

    @property
    def observations(self) -> Floats:
        return np.concatenate([self.inside.observations, self.tasks], axis=-1)

    def step(self, actions: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        return self.inside.step(actions)


@dataclass(frozen=True, slots=True)
class Oracle:
    """An environment whose observations end with the P numbers of the task."""

    inside: Environment

    @property
    def name(self) -> str:
        return f"{self.inside.name}-oracle"

    @property
    def observation_size(self) -> int:
        one = self.inside.draw(1, np.random.default_rng(0))
        return self.inside.observation_size + len(one[0])

    @property
    def action_size(self) -> int:
        return self.inside.action_size

    @property
    def max_episode_steps(self) -> int:
        return self.inside.max_episode_steps

    @property
    def dt(self) -> float:
        return self.inside.dt

    @property
    def low(self) -> tuple[float, ...]:
        return self.inside.low

    @property
    def high(self) -> tuple[float, ...]:
        return self.inside.high

    @property
    def in_words(self) -> str:
        return f"{self.inside.in_words} The observation ends with the goal."

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        return self.inside.draw(count, rng)

    def start(
        self, tasks: NDArray[np.float64], episodes: int, rng: np.random.Generator
    ) -> _Running:
        seen = np.asarray(tasks[:, None], np.float32)
        seen = np.broadcast_to(seen, (len(tasks), episodes, tasks.shape[1]))
        return _Running(self.inside.start(tasks, episodes, rng), seen)
