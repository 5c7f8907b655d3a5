"""What an environment of policies is: tasks, and episodes of them in lockstep, as NumPy arrays."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Running(Protocol):
    """E tasks × B episodes that were begun.

    observations: (E, B, D) float32, of now.
    """

    @property
    def observations(self) -> Floats: ...

    def step(self, actions: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """One step of all: actions (E, B, A) -> rewards (E, B) float32, and which terminated
        (E, B).

        Actions are as the policy gives them: −1 to 1 is scaled to the environment's own bounds, and
        what lies beyond is cut. An episode that terminated before is stepped on; nobody looks.
        """
        ...


class Environment(Protocol):
    """p(T) of reinforcement learning: what differs between tasks are P numbers, such as a goal.

    observation_size D; action_size A; dt: seconds of a step; low and high: the environment's own
    bounds of each action; in_words: for whoever adapts a policy to it.
    """

    @property
    def name(self) -> str: ...
    @property
    def observation_size(self) -> int: ...
    @property
    def action_size(self) -> int: ...
    @property
    def max_episode_steps(self) -> int: ...
    @property
    def dt(self) -> float: ...
    @property
    def low(self) -> tuple[float, ...]: ...
    @property
    def high(self) -> tuple[float, ...]: ...
    @property
    def in_words(self) -> str: ...

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(count, P) tasks."""
        ...

    def start(self, tasks: NDArray[np.float64], episodes: int, rng: np.random.Generator) -> Running:
        """So many episodes of each task (E, P), at their beginnings."""
        ...
