"""What a walker is after: a direction, or a velocity along x (Finn et al. 2017, section 5.3)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pursuit:
    """draw: (count, 1) tasks; reward: of velocities in m/s (E·B,) and tasks (E·B,)."""

    name: str
    in_words: str
    draw: Callable[[int, np.random.Generator], Wide]
    reward: Callable[[Wide, Wide], Wide]


def direction() -> Pursuit:
    """Forward or backward with equal odds; the reward is the velocity that way."""
    return Pursuit(
        name="direction",
        in_words="Task: 1 forward or -1 backward. Reward: the velocity that way",
        draw=lambda count, rng: rng.choice([-1.0, 1.0], (count, 1)),
        reward=lambda velocity, tasks: tasks * velocity,
    )


def velocity(fastest: float, *, bonus: float = 0.0) -> Pursuit:
    """A velocity up to ``fastest`` m/s; the reward is minus the distance to it, plus a bonus
    where falling over would otherwise end the cost.
    """
    return Pursuit(
        name="velocity",
        in_words=(
            f"Task: a velocity, 0 to {fastest:g} m/s. Reward: minus the distance to it"
            + (f", plus {bonus:g}" if bonus else "")
        ),
        draw=lambda count, rng: rng.uniform(0, fastest, (count, 1)),
        reward=lambda velocity, tasks: bonus - np.abs(velocity - tasks),
    )
