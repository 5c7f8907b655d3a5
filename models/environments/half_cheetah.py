"""The half-cheetah that runs in a direction or at a velocity, as in Finn et al. 2017, section 5.3.

rllab's environment: a step of 0.01 s, no termination, the velocity is that of the centre of mass.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.environments.protocol import Floats
from models.environments.pursuits import Pursuit, direction, velocity
from models.environments.simulation import Simulation, Wide, bounds, load_body

FASTEST: Final = 2.0  # m/s, of the velocities that are asked for
CONTROL_COST: Final = 0.05
HINGES: Final = 2  # where the angles begin in qpos and qvel, behind x and z


@dataclass(frozen=True)
class HalfCheetah:
    """``Environment`` of the half-cheetah; threads of the simulation: 0 takes all processors."""

    pursuit: Pursuit
    threads: int = 0
    observation_size: int = 20
    action_size: int = 6
    max_episode_steps: int = 200
    dt: float = 0.01
    low: tuple[float, ...] = (-1.0,) * 6
    high: tuple[float, ...] = (1.0,) * 6

    @property
    def name(self) -> str:
        return f"half-cheetah-{self.pursuit.name}"

    @property
    def in_words(self) -> str:
        return (
            "rllab's half-cheetah runs in a plane; 0.01 s a step. Observation: 8 positions "
            "(height, pitch, six hinges), 9 velocities (x, height, pitch, six hinges), and the "
            "centre of mass (x, y, z). Action: the torques of six hinges. "
            f"{self.pursuit.in_words}, minus {CONTROL_COST:g} times the square of the action. "
            "Never terminates."
        )

    def draw(self, count: int, rng: np.random.Generator) -> Wide:
        return self.pursuit.draw(count, rng)

    def start(self, tasks: Wide, episodes: int, rng: np.random.Generator) -> "_Running":
        simulation = Simulation(
            self._body, len(tasks) * episodes, rng, forces=False, threads=self.threads
        )
        return _Running(self, self._chain, tasks, episodes, simulation)

    @cached_property
    def _body(self) -> Any:
        model = load_body("half_cheetah")
        assert (self.low, self.high) == bounds(model)
        assert self.dt == model.opt.timestep
        return model

    @cached_property
    def _chain(self) -> "PlanarChain":
        return PlanarChain(self._body)


def half_cheetah_direction(*, threads: int = 0) -> HalfCheetah:
    return HalfCheetah(direction(), threads)


def half_cheetah_velocity(*, threads: int = 0) -> HalfCheetah:
    return HalfCheetah(velocity(FASTEST), threads)


class _Running:
    observations: Floats

    def __init__(
        self,
        of: HalfCheetah,
        chain: "PlanarChain",
        tasks: Wide,
        episodes: int,
        simulation: Simulation,
    ) -> None:
        self._of, self._chain, self._simulation = of, chain, simulation
        self._shape = (len(tasks), episodes)
        self._tasks = np.repeat(tasks[:, 0], episodes)
        self._look()

    @property
    def state(self) -> Wide:
        """(E, B, nq + nv): where MuJoCo has each body now, and how fast it moves."""
        return self._simulation.state.reshape(*self._shape, -1)

    def step(self, actions: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        taken = np.clip(actions.reshape(-1, self._of.action_size), -1, 1).astype(np.float64)
        self._simulation.step(taken)
        rewards = self._of.pursuit.reward(self._look(), self._tasks)
        rewards -= CONTROL_COST * np.square(taken).sum(axis=1)
        return rewards.astype(np.float32).reshape(self._shape), np.zeros(self._shape, dtype=bool)

    def _look(self) -> Wide:
        """Sets what is observed; the velocity along x of each centre of mass."""
        qpos, qvel = self._simulation.qpos, self._simulation.qvel
        x, z, speed = self._chain.centre_of_mass(qpos, qvel)
        seen = np.concatenate([qpos[:, 1:], qvel, x[:, None], 0 * x[:, None], z[:, None]], axis=1)
        self.observations = seen.astype(np.float32).reshape(*self._shape, -1)
        return speed


class PlanarChain:
    """The centre of mass of bodies that turn about the y axis, hinge upon hinge.

    MuJoCo's own is that of before a step, unless a second pass computes everything of after it.
    Body b, turned by θ_b, the sum of the hinges from the root to it, carries an arm w_b: its own
    and its branches' share of the mass. The centre of mass is the root's place plus Σ_b R(θ_b) w_b.
    """

    def __init__(self, model: Any) -> None:
        parents, below = model.body_parentid[1:] - 1, model.body_subtreemass[1:]
        arms = model.body_mass[1:, None] * model.body_ipos[1:]
        self._turns = np.eye(len(parents))  # (bodies, hinges): which of the hinges turn it
        for body, parent in enumerate(parents):
            if parent >= 0:
                arms[parent] += below[body] * model.body_pos[1 + body]
                self._turns[body] += self._turns[parent]
        self._x, self._z = arms[:, 0] / below[0], arms[:, 2] / below[0]
        self._root = model.body_pos[1].copy()

    def centre_of_mass(self, qpos: Wide, qvel: Wide) -> tuple[Wide, Wide, Wide]:
        """x and z of the centre of mass and its velocity along x, each (count,)."""
        angles, rates = qpos[:, HINGES:] @ self._turns.T, qvel[:, HINGES:] @ self._turns.T
        cosines, sines = np.cos(angles), np.sin(angles)
        x = self._root[0] + qpos[:, 0] + cosines @ self._x + sines @ self._z
        z = self._root[2] + qpos[:, 1] + cosines @ self._z - sines @ self._x
        speed = qvel[:, 0] + (rates * cosines) @ self._z - (rates * sines) @ self._x
        return x, z, speed
