"""A policy of a simulated body before and after it is adapted to some tasks, in strips of pictures.

    python -m benchmarks.filmstrip CHECKPOINT.safetensors --task 1 --task=-1 --out strip.png

The first row is θ; each of the others is φ in one task, after as many rounds as --rounds says, of
twenty episodes and one step each, as the service adapts. From left to right one episode in equal
times, each action the mean of the policy; the camera follows, and over each picture stands how far
the body has come. Needs MuJoCo and a way to draw without a screen: MUJOCO_GL=egl (the default here)
or osmesa (of the system's package libosmesa6).
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.environments.opening import open_environment
from models.environments.protocol import Environment
from models.environments.simulation import load_body
from models.files.acting import Acting
from models.files.checkpoint import Checkpoint, load_checkpoint
from models.normalisation import Params
from models.policies.advantages import Discounting
from models.policies.inner_step import adapt_policies
from models.policies.policy import Policy
from models.policies.sampling import collect
from models.policies.trpo import stacked

Picture = NDArray[np.uint8]
Wide = NDArray[np.float64]

EPISODES, SEED = 20, 7
FRAMES, WIDTH, HEIGHT, WORDS = (
    8,
    240,
    150,
    16,
)  # pictures of a row; pixels, and of the words over it
CAMERA = "side"
INK, PAPER = (60, 60, 60), (255, 255, 255)


def adapted(
    policy: Policy,
    theta: Params,
    environment: Environment,
    task: float,
    acting: Acting,
    rounds: int,
) -> Params:
    """φ of one task, which leads with (1,), after so many rounds."""
    how = Discounting(
        gamma=acting.gamma,
        gae_lambda=acting.gae_lambda,
        max_episode_steps=acting.max_episode_steps,
    )
    params, tasks = stacked(theta, 1), np.array([[task]])
    for number in range(1, rounds + 1):
        rollouts = collect(policy, params, environment, tasks, EPISODES, [SEED, number])
        params = adapt_policies(policy, params, rollouts, acting.step_size(number), how).params
    return params


def walked(
    policy: Policy, params: Params, environment: Environment, task: float
) -> tuple[Wide, float]:
    """(FRAMES, nq) of one episode at equal times, its end the last, and its return."""
    running: Any = environment.start(np.array([[task]]), 1, np.random.default_rng(SEED))
    states, total = [running.state[0, 0]], 0.0
    for _ in range(environment.max_episode_steps):
        with torch.no_grad():
            said: Any = policy(params, torch.from_numpy(running.observations))
        rewards, terminated = running.step(said.mean.numpy())
        states.append(running.state[0, 0])
        total += float(rewards[0, 0])
        if terminated.any():
            break
    taken = np.linspace(0, len(states) - 1, FRAMES).round().astype(int)
    return np.array(states)[taken], total


def row_of(renderer: Any, data: Any, states: Wide, title: str) -> Image.Image:
    """One strip: its title, and over each picture how far the body has come."""
    import mujoco

    row = Image.new("RGB", (FRAMES * WIDTH, HEIGHT + 2 * WORDS), PAPER)
    words = ImageDraw.Draw(row)
    words.text((4, 2), title, INK)
    for number, state in enumerate(states):
        data.qpos[:] = state[: len(data.qpos)]
        mujoco.mj_forward(renderer.model, data)
        renderer.update_scene(data, camera=CAMERA)
        row.paste(Image.fromarray(renderer.render()), (number * WIDTH, 2 * WORDS))
        words.text((number * WIDTH + 4, WORDS + 2), f"{state[0] - states[0, 0]:+.2f} m", INK)
    return row


def strips(checkpoint: Checkpoint, name: str, tasks: Sequence[float], rounds: int) -> Image.Image:
    """All rows, one below the other."""
    import mujoco

    if checkpoint.acting is None:
        raise SystemExit(f"{checkpoint.name} is not a policy")
    policy = Policy(network=checkpoint.learner.network, actions=checkpoint.learner.head.outputs)
    environment, theta = open_environment({"name": name}), checkpoint.meta.theta
    body = load_body(name.rpartition("-")[0].replace("-", "_"))
    played = [("before", stacked(theta, 1), tasks[0])]
    for task in tasks:
        phi = adapted(policy, theta, environment, task, checkpoint.acting, rounds)
        played.append((f"task {task:g}, {rounds} round{'s' * (rounds > 1)}", phi, task))
    rows = []
    with mujoco.Renderer(body, HEIGHT, WIDTH) as renderer:
        for title, params, task in played:
            states, total = walked(policy, params, environment, task)
            about = title if title == "before" else f"{title}: return {total:.0f}"
            rows.append(row_of(renderer, mujoco.MjData(body), states, about))
    whole = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), PAPER)
    for number, row in enumerate(rows):
        whole.paste(row, (0, number * row.height))
    return whole


def main() -> None:
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("checkpoint", type=Path)
    words.add_argument("--task", type=float, action="append", help="1 and -1 by default")
    words.add_argument("--rounds", type=int, default=1)
    words.add_argument("--environment", help="that of the training by default")
    words.add_argument("--out", type=Path, default=Path("strip.png"))
    said = words.parse_args()
    os.environ.setdefault("MUJOCO_GL", "egl")
    checkpoint = load_checkpoint(said.checkpoint.read_bytes())
    name = said.environment or checkpoint.provenance["data"]["name"]
    strips(checkpoint, name, said.task or [1.0, -1.0], said.rounds).save(said.out, optimize=True)
    print(f"wrote {said.out}")


if __name__ == "__main__":
    main()
