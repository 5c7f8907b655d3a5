"""Steps of the simulated environments per second: 800 episodes in lockstep, beside Gymnasium's.

    python -m benchmarks.environments [--seconds 3]

Every contender simulates the same body with as many steps of the same physics (frame_skip 1), and
sees and earns something at each. Gymnasium steps one environment, then sixteen of them one after
the other (SyncVectorEnv), then sixteen in processes of their own (AsyncVectorEnv). Per CPU second
counts all threads of this process, which another program on the machine slows less than it slows
the clock; of processes of their own there is none.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from benchmarks.machine import describe_run, in_words
from models.environments.ant import ant_direction
from models.environments.half_cheetah import half_cheetah_direction
from models.environments.protocol import Environment
from models.environments.simulation import BODIES

TASKS, EPISODES, AT_ONCE = 40, 20, 16
LOUDNESS = 0.3  # of the actions: with more the ant is thrown into the air
BEGIN_AGAIN = 100  # steps, before most ants have fallen

Step = Callable[[], int]  # one step of all; how many episodes took it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    per_second: float
    per_cpu_second: float


def ours(environment: Environment) -> Step:
    """800 episodes, begun again now and then; those that have fallen are not counted."""
    rng = np.random.default_rng(0)
    tasks = environment.draw(TASKS, rng)
    shape = (TASKS, EPISODES, environment.action_size)
    actions = LOUDNESS * rng.uniform(-1, 1, (BEGIN_AGAIN, *shape)).astype(np.float32)
    running = environment.start(tasks, EPISODES, rng)
    alive, number = TASKS * EPISODES, 0

    def step() -> int:
        nonlocal running, alive, number
        if number == BEGIN_AGAIN:
            running, alive, number = environment.start(tasks, EPISODES, rng), TASKS * EPISODES, 0
        took = alive
        _, terminated = running.step(actions[number])
        alive, number = int((~terminated).sum()), number + 1
        return took

    return step


def of_one(made: Any, scale: float) -> Step:
    """One environment of Gymnasium's, begun again where it ends."""
    made.reset(seed=0)
    actions = _actions(made.action_space.shape, scale)

    def step() -> int:
        _, _, terminated, truncated, _ = made.step(next(actions))
        if terminated or truncated:
            made.reset()
        return 1

    return step


def of_several(made: Any, scale: float) -> Step:
    """Gymnasium's vector of environments, which begins each again by itself."""
    made.reset(seed=0)
    actions = _actions(made.action_space.shape, scale)

    def step() -> int:
        made.step(next(actions))
        return AT_ONCE

    return step


def rate_of(step: Step, seconds: float) -> Rate:
    """After a tenth of the time to warm up."""
    until = time.perf_counter() + seconds / 10
    while time.perf_counter() < until:
        step()
    began, used, steps = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < seconds:
        steps += step()
    return Rate(
        per_second=steps / (time.perf_counter() - began),
        per_cpu_second=steps / (time.process_time() - used),
    )


def compare(
    theirs: str, body: str, environment: Callable[..., Environment], seconds: float
) -> None:
    """One table: every contender's steps per second."""
    options: dict[str, Any] = {"frame_skip": 1, "xml_file": str(BODIES / f"{body}.xml")}
    scale = environment().high[0]
    print(f"\n{body:<34}{'steps/s':>12}{'steps/CPU s':>14}")
    for threads in sorted({1, os.cpu_count() or 1}):
        name = f"Fewstep, {TASKS * EPISODES} at once, {threads} thread{'s' * (threads > 1)}"
        _say(name, rate_of(ours(environment(threads=threads)), seconds))
    with closing(gymnasium.make(theirs, **options)) as one:
        _say("Gymnasium, one", rate_of(of_one(one, scale), seconds))
    for mode in ("sync", "async"):
        several = gymnasium.make_vec(theirs, AT_ONCE, vectorization_mode=mode, **options)
        with closing(several):
            rate = rate_of(of_several(several, scale), seconds)
        _say(f"Gymnasium, {AT_ONCE} {mode}", rate, alone=mode == "sync")


def _actions(shape: tuple[int, ...], scale: float) -> Iterator[Any]:
    drawn = np.random.default_rng(0).uniform(-1, 1, (BEGIN_AGAIN, *shape))
    ready = (LOUDNESS * scale * drawn).astype(np.float32)
    while True:
        yield from ready


def _say(name: str, rate: Rate, *, alone: bool = True) -> None:
    per_cpu_second = f"{rate.per_cpu_second:14,.0f}" if alone else f"{'-':>14}"
    print(f"{name:<34}{rate.per_second:12,.0f}{per_cpu_second}", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--seconds", type=float, default=3.0, help="for each contender")
    seconds = arguments.parse_args().seconds
    print(in_words(describe_run()))
    compare("HalfCheetah-v5", "half_cheetah", half_cheetah_direction, seconds)
    compare("Ant-v5", "ant", ant_direction, seconds)


if __name__ == "__main__":
    main()
