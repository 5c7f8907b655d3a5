"""The environment, as anybody writes one for Gymnasium; it knows nothing of Fewstep."""

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Seen = NDArray[np.float32]

DT, STRONGEST, GRAVITY, FRICTION = 0.1, 3.0, 2.0, 0.5


class Pendulum(gymnasium.Env[Seen, Seen]):
    """Observation: cosine and sine of the angle from hanging down, and the velocity in rad/s.
    Action: a torque of −3 to 3. The reward is minus the distance in rad to options["task"].
    """

    observation_space = spaces.Box(-math.inf, math.inf, (3,), np.float32)
    action_space = spaces.Box(-STRONGEST, STRONGEST, (1,), np.float32)

    def __init__(self) -> None:
        self.wanted, self.angle, self.velocity = 0.0, 0.0, 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Seen, dict[str, Any]]:
        super().reset(seed=seed)
        self.wanted = float((options or {"task": [0.0]})["task"][0])
        self.angle, self.velocity = self.np_random.uniform(-0.1, 0.1, 2).tolist()
        return self._seen(), {}

    def step(self, action: Seen) -> tuple[Seen, float, bool, bool, dict[str, Any]]:
        pull = -GRAVITY * math.sin(self.angle) - FRICTION * self.velocity
        self.velocity += DT * (float(action[0]) + pull)
        self.angle += DT * self.velocity
        return self._seen(), -abs(self.angle - self.wanted), False, False, {}

    def _seen(self) -> Seen:
        return np.array([math.cos(self.angle), math.sin(self.angle), self.velocity], np.float32)
