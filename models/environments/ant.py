"""The ant that runs in a direction or at a velocity, as in Finn et al. 2017, section 5.3.

rllab's environment: a step of 0.02 s, the velocity is that of the centre of mass; an episode
terminates where the torso's height leaves 0.2 m to 1 m.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.environments.protocol import Floats
from models.environments.pursuits import Pursuit, direction, velocity
from models.environments.simulation import Simulation, Wide, bounds, load_body

FASTEST: Final = 3.0  # m/s, of the velocities that are asked for
CONTROL_COST, CONTACT_COST, ALIVE = 0.005, 0.0005, 0.05
LOWEST, HIGHEST = 0.2, 1.0
TORSO: Final = 1  # its number among the bodies; 0 is the world


@dataclass(frozen=True)
class Ant:
    """``Environment`` of the ant; threads of the simulation: 0 takes all processors."""

    pursuit: Pursuit
    threads: int = 0
    observation_size: int = 125
    action_size: int = 8
    max_episode_steps: int = 200
    dt: float = 0.02
    low: tuple[float, ...] = (-150.0,) * 8
    high: tuple[float, ...] = (150.0,) * 8

    @property
    def name(self) -> str:
        return f"ant-{self.pursuit.name}"

    @property
    def in_words(self) -> str:
        return (
            "rllab's ant runs on four legs; 0.02 s a step. Observation: 15 positions (place, "
            "quaternion, eight hinges), 14 velocities, the contact forces of 14 bodies clipped to "
            "-1 ... 1 (84), the torso's rotation matrix (9), and the centre of mass (3). Action: "
            f"the torques of eight hinges. {self.pursuit.in_words}, minus {CONTROL_COST:g} times "
            f"the square of the action (of -1 ... 1) and {CONTACT_COST:g} times the square of the "
            f"clipped forces, plus {ALIVE:g}. Terminates where the torso is below {LOWEST:g} m or "
            f"above {HIGHEST:g} m."
        )

    def draw(self, count: int, rng: np.random.Generator) -> Wide:
        return self.pursuit.draw(count, rng)

    def start(self, tasks: Wide, episodes: int, rng: np.random.Generator) -> "_Running":
        simulation = Simulation(
            self._body, len(tasks) * episodes, rng, forces=True, threads=self.threads
        )
        return _Running(self, tasks, episodes, simulation)

    @cached_property
    def _body(self) -> Any:
        model = load_body("ant")
        assert (self.low, self.high) == bounds(model)
        assert self.dt == model.opt.timestep
        return model


def ant_direction(*, threads: int = 0) -> Ant:
    return Ant(direction(), threads)


def ant_velocity(*, threads: int = 0) -> Ant:
    return Ant(velocity(FASTEST, bonus=1.0), threads)


class _Running:
    observations: Floats

    def __init__(self, of: Ant, tasks: Wide, episodes: int, simulation: Simulation) -> None:
        self._of, self._simulation = of, simulation
        self._shape = (len(tasks), episodes)
        self._tasks = np.repeat(tasks[:, 0], episodes)
        self._terminated = np.zeros(len(self._tasks), dtype=bool)
        self._forces, self._rotations, self._sensed = simulation.bind(
            "cfrc_ext", "xmat", "sensordata"
        )
        self._look()

    @property
    def state(self) -> Wide:
        """(E, B, nq + nv): where MuJoCo has each body now, and how fast it moves."""
        return self._simulation.state.reshape(*self._shape, -1)

    def step(self, actions: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        taken = np.clip(actions.reshape(-1, self._of.action_size), -1, 1).astype(np.float64)
        # Who has fallen lies where it fell: nobody looks, and it need not be computed.
        self._simulation.step(taken, np.flatnonzero(~self._terminated).astype(np.int32))
        speed, contacts = self._look()
        rewards = self._of.pursuit.reward(speed, self._tasks) + ALIVE
        rewards -= CONTROL_COST * np.square(taken).sum(axis=1) + CONTACT_COST * contacts
        height = self._simulation.qpos[:, 2]
        self._terminated = self._terminated | ~((height >= LOWEST) & (height <= HIGHEST))
        return (
            rewards.astype(np.float32).reshape(self._shape),
            self._terminated.reshape(self._shape),
        )

    def _look(self) -> tuple[Wide, Wide]:
        """Sets what is observed; the velocity along x of each centre of mass, and the sum of the
        squares of the clipped forces.
        """
        forces = np.clip(self._forces.reshape(len(self._tasks), -1), -1, 1)
        centre, speed = self._sensed[:, :3], self._sensed[:, 3]
        state = (self._simulation.qpos, self._simulation.qvel)
        seen = np.concatenate([*state, forces, self._rotations[:, TORSO], centre], axis=1)
        self.observations = seen.astype(np.float32).reshape(*self._shape, -1)
        return speed, np.square(forces).sum(axis=1)
