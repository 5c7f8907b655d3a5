"""A point on the plane learns where its goal is, in three rounds of rollouts through a service.

    FEWSTEP_URL=http://127.0.0.1:8000 python examples/policies/navigate.py [X Y]

The environment runs here; the service only tells what to do, and takes a step when it sees what
came of it. Needs httpx and numpy.
"""

import os
import sys
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

CHECKPOINT = "point-navigation"
EPISODES, STEPS, ROUNDS = 20, 100, 3
LONGEST, ARRIVED = 0.1, 0.01

Json = dict[str, Any]


class Navigation:
    """Episodes of one goal in lockstep: places (B, 2), and minus the distance to the goal."""

    def __init__(self, goal: NDArray[np.float64]) -> None:
        self.goal, self.places = goal, np.zeros((EPISODES, 2))

    def step(self, actions: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        self.places = self.places + np.clip(actions, -LONGEST, LONGEST)
        apart = self.places - self.goal
        return -np.linalg.norm(apart, axis=1), (np.abs(apart) < ARRIVED).all(axis=1)


def collect(client: httpx.Client, whose: Json, goal: NDArray[np.float64]) -> list[Json]:
    """Twenty episodes of the policy that ``whose`` names: one prediction a step for all of them."""
    world = Navigation(goal)
    rollouts: list[Json] = [
        {"observations": [place.tolist()], "actions": [], "rewards": [], "log_probs": []}
        for place in world.places
    ]
    running = list(range(EPISODES))
    for _ in range(STEPS):
        told = client.post("/predict", json=whose | {"inputs": world.places.tolist()})
        said = told.raise_for_status().json()["predictions"]
        rewards, arrived = world.step(np.array([one["action"] for one in said]))
        for index in running:
            one = rollouts[index]
            one["observations"].append(world.places[index].tolist())
            one["actions"].append(said[index]["sampled_action"])  # before it was cut to the bounds
            one["log_probs"].append(said[index]["log_prob"])
            one["rewards"].append(float(rewards[index]))
            one["terminated"] = bool(arrived[index])
        running = [index for index in running if not arrived[index]]
        if not running:
            break
    return [one | {"truncated": not one["terminated"]} for one in rollouts]


def learn(client: httpx.Client, goal: NDArray[np.float64]) -> list[float]:
    """The mean return of the unadapted policy, and after each round."""
    whose: Json = {"checkpoint": CHECKPOINT}
    start: Json = {"checkpoint": CHECKPOINT}
    curve = []
    for _ in range(ROUNDS):
        rollouts = collect(client, whose, goal)
        answer = client.post("/adapt", json=start | {"rollouts": rollouts})
        adapted = answer.raise_for_status().json()
        curve.append(adapted["metrics"]["mean_return"])
        whose, start = {"adaptation": adapted["id"]}, {"continues": adapted["id"]}
    last = collect(client, whose, goal)
    return [*curve, float(np.mean([sum(one["rewards"]) for one in last]))]


def main() -> None:
    goal = np.array([float(word) for word in sys.argv[1:3]] or [0.3, -0.2])
    url = os.environ.get("FEWSTEP_URL", "http://127.0.0.1:8000")
    with httpx.Client(base_url=url, timeout=60) as client:
        for number, mean in enumerate(learn(client, goal)):
            print(f"after {number} rounds: {mean:.1f}")


if __name__ == "__main__":
    main()
