"""What the entry point gives to Fewstep: the environment, and the tasks that differ in it."""

import numpy as np
from numpy.typing import NDArray

from fewstep_pendulum.pendulum import DT, Pendulum
from models.environments.wrapped import Wrapped


def draw_angles(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(count, 1): from −1 to 1 rad."""
    return rng.uniform(-1, 1, (count, 1))


def open_pendulum() -> Wrapped:
    return Wrapped(
        Pendulum,
        name="pendulum-angle",
        draw=draw_angles,
        max_episode_steps=50,
        dt=DT,
        in_words=(
            "A pendulum hangs down and is to be held at an angle from -1 to 1 rad that it is not "
            "told. Observation: cosine and sine of the angle, velocity in rad/s. Action: a torque "
            "of -3 to 3. Reward: minus the distance to the angle in rad. Never terminates."
        ),
    )
