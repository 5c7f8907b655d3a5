"""Bodies that MuJoCo simulates in lockstep, on the threads of one process."""

from pathlib import Path
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.float64]

BODIES: Final = Path(__file__).parent / "bodies"
POSITION_NOISE, VELOCITY_NOISE = 0.01, 0.1  # rllab's deviations at the beginning of an episode


def load_body(name: str) -> Any:
    """The mujoco.MjModel of ``bodies/{name}.xml``."""
    return _mujoco().MjModel.from_xml_path(str(BODIES / f"{name}.xml"))


def bounds(model: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The least and the largest control of every motor."""
    low, high = model.actuator_ctrlrange.T.tolist()
    return tuple(low), tuple(high)


@final
class Simulation:
    """``count`` bodies where episodes begin: as the model stands, with rllab's noise.

    forces: a step computes what holds at the state that it leads to as well, contact forces under
    the last controls included, as rllab's steps do; otherwise the state alone is up to date.
    threads: 0 takes all processors; the numbers do not depend on it.
    """

    def __init__(
        self, model: Any, count: int, rng: np.random.Generator, *, forces: bool, threads: int
    ) -> None:
        stages = _mujoco().mjtStage
        self._stage = stages.mjSTAGE_ACC if forces else stages.mjSTAGE_NONE
        self._batch = _mujoco().batch.Batch(model, count, threads)
        begins = model.key_qpos[0] if model.nkey else model.qpos0
        self.qpos: Wide = self._batch.bind("qpos")  # (count, nq), a view as all that follow
        self.qvel: Wide = self._batch.bind("qvel")
        noise = rng.standard_normal((count, model.nq + model.nv))
        self.qpos[:] = begins + POSITION_NOISE * noise[:, : model.nq]
        self.qvel[:] = VELOCITY_NOISE * noise[:, model.nq :]
        self._ctrl: Wide = self._batch.bind("ctrl")
        self._low, self._high = (np.array(bound) for bound in bounds(model))

    @property
    def state(self) -> Wide:
        """(count, nq + nv), a copy."""
        return np.concatenate([self.qpos, self.qvel], axis=1)

    def bind(self, *fields: str) -> tuple[Wide, ...]:
        """Each (count, …): fields of mujoco.MjData that ``forces`` computes, at once and by every
        step.
        """
        bound = tuple(self._batch.bind(field) for field in fields)
        self._batch.forward(stage=self._stage)
        return bound

    def step(self, actions: Wide, ids: NDArray[np.int32] | None = None) -> None:
        """One time step of all bodies, or of those named; actions: (count, A) in −1 … 1."""
        self._ctrl[:] = self._low + (actions + 1) * 0.5 * (self._high - self._low)
        self._batch.step(ids, stage=self._stage)


def _mujoco() -> Any:
    import mujoco.batch

    return mujoco
