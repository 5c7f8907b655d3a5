"""Adaptations per second, stacked against the plain Python loop, in one run on this machine's CPU.

    python -m benchmarks.adapting [--episodes 1 8 32] [--repeats 7] [--threads N]

The shipped omniglot-5way-1shot takes five steps on five-way one-shot supports of the drawings in
examples/. Both ways must give the same parameters; the figure is the ratio of their median times.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from models.checkpoint import Checkpoint, load_checkpoint
from models.inner_loop import Adapted, adapt_episodes, episode_of
from models.preprocessing import input_from_picture
from models.stacked import episodes_at_once
from tests import plain_maml

FILE = Path(__file__).parents[1] / "models" / "checkpoints" / "omniglot-5way-1shot.safetensors"
DRAWINGS = Path(__file__).parents[1] / "examples" / "characters"
WAY = 5


def stacked(checkpoint: Checkpoint, x: torch.Tensor, y: torch.Tensor) -> list[Adapted]:
    recipe = replace(checkpoint.recipe, steps=5)
    size = episodes_at_once(checkpoint.learner.network, tuple(x.shape[1:]))
    done: list[Adapted] = []
    for part_x, part_y in zip(x.split(size), y.split(size), strict=True):
        with torch.no_grad():
            adapted = adapt_episodes(
                checkpoint.learner, checkpoint.meta.theta, part_x, part_y, recipe, outputs=WAY
            )
        done += [episode_of(adapted, e) for e in range(len(part_x))]
    return done


def looped(
    checkpoint: Checkpoint, x: torch.Tensor, y: torch.Tensor
) -> list[dict[str, torch.Tensor]]:
    recipe, theta = replace(checkpoint.recipe, steps=5), checkpoint.meta.theta
    return [
        plain_maml.adapt(checkpoint.learner, theta, x[e], y[e], recipe, outputs=WAY)[0]
        for e in range(len(x))
    ]


def seconds_of(work: Callable[[], object], repeats: int) -> list[float]:
    """The times of the repeats, after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return times


def check_same(stacked: list[Adapted], alone: list[dict[str, torch.Tensor]]) -> None:
    """Raises AssertionError where the two ways differ by more than float32's order of summing."""
    for found, expected in zip(stacked, alone, strict=True):
        torch.testing.assert_close(found.params, expected, rtol=1e-4, atol=1e-5)


def supports(checkpoint: Checkpoint, episodes: int) -> torch.Tensor:
    """(E, 5, 1, 28, 28) drawings of five characters each, drawn with a fixed seed."""
    randomness = random.Random(episodes)
    folders = sorted(DRAWINGS.iterdir())
    chosen = [
        randomness.choice(sorted(folder.glob("*.png")))
        for _ in range(episodes)
        for folder in randomness.sample(folders, WAY)
    ]
    spec = checkpoint.input["preprocessing"]
    pictures = [torch.from_numpy(input_from_picture(Image.open(path), spec)) for path in chosen]
    return torch.stack(pictures).unflatten(0, (episodes, WAY))


def measure(checkpoint: Checkpoint, episodes: int, repeats: int) -> dict[str, float]:
    x = supports(checkpoint, episodes)
    y = torch.arange(WAY).repeat(episodes, 1)
    check_same(stacked(checkpoint, x, y), looped(checkpoint, x, y))
    ours = seconds_of(lambda: stacked(checkpoint, x, y), repeats)
    loop = seconds_of(lambda: looped(checkpoint, x, y), repeats)
    return {
        "episodes": episodes,
        "stacked_per_s": round(episodes / statistics.median(ours), 1),
        "looped_per_s": round(episodes / statistics.median(loop), 1),
        "ratio": round(statistics.median(loop) / statistics.median(ours), 2),
        "ratio_worst": round(min(loop) / max(ours), 2),
        "ratio_best": round(max(loop) / min(ours), 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    checkpoint = load_checkpoint(FILE.read_bytes())
    for episodes in chosen.episodes:
        sys.stdout.write(json.dumps(measure(checkpoint, episodes, chosen.repeats)) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
