"""Environments as the paper's authors ran them: one body, one step at a time, MuJoCo alone."""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from models.environments.protocol import Environment

Wide = NDArray[np.float64]


@dataclass
class Plain:
    """One body; rllab's step is mj_step and then mj_forward."""

    model: Any
    data: Any

    @classmethod
    def at(cls, model: Any, state: Wide) -> "Plain":
        """state: (nq + nv,)."""
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = state[: model.nq], state[model.nq :]
        plain = cls(model, data)
        plain.compute()
        return plain

    def step(self, controls: Wide) -> None:
        self.data.ctrl[:] = controls
        mujoco.mj_step(self.model, self.data)
        self.compute()

    def compute(self) -> None:
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_rnePostConstraint(self.model, self.data)
        mujoco.mj_subtreeVel(self.model, self.data)

    @property
    def speed(self) -> float:
        return float(self.data.subtree_linvel[1, 0])

    @property
    def height(self) -> float:
        return float(self.data.qpos[2])

    @property
    def forces(self) -> Wide:
        return np.clip(self.data.cfrc_ext, -1, 1)

    def half_cheetah_sees(self) -> Wide:
        data = self.data
        return np.concatenate([data.qpos[1:], data.qvel, data.subtree_com[1]])

    def ant_sees(self) -> Wide:
        data = self.data
        parts = [data.qpos, data.qvel, self.forces.ravel(), data.xmat[1], data.subtree_com[1]]
        return np.concatenate(parts)


def play(
    environment: Environment, *, tasks: int, episodes: int = 1, steps: int = 30, seed: int = 0
) -> tuple[NDArray[Any], ...]:
    """Random actions, the same for the first of more tasks: observations (T + 1, E, B, D), rewards
    and terminated (T, E, B).
    """
    drawn = environment.draw(tasks, np.random.default_rng(seed))
    running = environment.start(drawn, episodes, np.random.default_rng(seed))
    actions = np.random.default_rng(seed)
    seen, rewards, terminated = [running.observations], [], []
    for _ in range(steps):
        acted = actions.standard_normal((1, episodes, environment.action_size)).astype(np.float32)
        reward, ended = running.step(np.broadcast_to(acted, (tasks, *acted.shape[1:])))
        seen.append(running.observations)
        rewards.append(reward)
        terminated.append(ended)
    return np.array(seen), np.array(rewards), np.array(terminated)
