"""2D navigation (Finn et al. 2017, section 5.3): a point on the plane, and a goal that it does not
see.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.environments.protocol import Floats

LONGEST: Final = 0.1  # of a step, in either direction
ARRIVED: Final = 0.01


@dataclass(slots=True)
class _Running:
    goals: Floats
    observations: Floats

    def step(self, actions: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        self.observations = self.observations + np.clip(actions, -1, 1) * np.float32(LONGEST)
        apart = self.observations - self.goals
        return -np.linalg.norm(apart, axis=-1), (np.abs(apart) < ARRIVED).all(axis=-1)


@dataclass(frozen=True, slots=True)
class Navigation:
    """Goals uniform in [−0.5, 0.5]²; observed: the place; acted: the next step, up to 0.1 each way;
    reward: minus the distance to the goal, as in the authors' code; over within 0.01 of it.
    """

    name: str = "point-navigation"
    observation_size: int = 2
    action_size: int = 2
    max_episode_steps: int = 100
    dt: float = 1.0
    low: tuple[float, ...] = (-LONGEST, -LONGEST)
    high: tuple[float, ...] = (LONGEST, LONGEST)
    in_words: str = (
        "A point starts at the origin of the plane and is to reach a goal in [-0.5, 0.5]² that it "
        "does not see. Observation: its place. Action: its next step, up to 0.1 in either "
        "direction. Reward: minus the distance to the goal. Terminates within 0.01 of it."
    )

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        return rng.uniform(-0.5, 0.5, (count, 2))

    def start(
        self, tasks: NDArray[np.float64], episodes: int, rng: np.random.Generator
    ) -> _Running:
        goals = np.asarray(tasks[:, None], np.float32)
        return _Running(goals, np.zeros((len(tasks), episodes, 2), np.float32))
