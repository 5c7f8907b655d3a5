"""Support sets that nobody should send, and thousands of them: no adaptation may fail, and none may
end with a higher support loss than it began with.

    python -m benchmarks.hostile [--sets 10000] [--seed 0]

goes through every shipped checkpoint in every way that it can be adapted; ends with 1 where
anything failed.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from app.values.arrays import INPUT, TARGET, Arrays
from app.values.ways import Way
from models.files.checkpoint import Checkpoint, load_checkpoint
from worker.assessing import ways_of
from worker.stacking import adapt_rows
from worker.work import Failure, Work

SHIPPED = Path(__file__).parents[1] / "models" / "checkpoints"
AT_ONCE = 16
WIDTH = 24  # of a checkpoint that takes any

Numbers = NDArray[np.floating[Any]]


def support_sets(
    checkpoint: Checkpoint, sets: int, random: np.random.Generator
) -> Iterator[tuple[list[Arrays], int]]:
    """Stacks of support sets of one shape, with the outputs they have."""
    shape = tuple(side or WIDTH for side in checkpoint.input_shape)
    for _ in range(0, sets, AT_ONCE):
        if checkpoint.learner.head.kind in ("linear", "bayesian"):
            outputs = checkpoint.learner.head.outputs
        else:
            outputs = 0
        if checkpoint.learner.task == "regression":
            examples = int(random.integers(1, 12))
            yield [_values(shape, examples, outputs, random) for _ in range(AT_ONCE)], outputs
            continue
        way = int(random.integers(2, min(checkpoint.max_way, 8) + 1))
        counts = _counts(way, random)
        yield [_classes(shape, counts, random) for _ in range(AT_ONCE)], way


def _counts(way: int, random: np.random.Generator) -> list[int]:
    """Examples of each class: alike, unlike, or 1 against 30."""
    kind = random.integers(3)
    if kind == 0:
        return [int(random.integers(1, 4))] * way
    if kind == 1:
        return [int(number) for number in random.integers(1, 6, way)]
    return [30, *[1] * (way - 1)]


def _classes(shape: tuple[int, ...], counts: list[int], random: np.random.Generator) -> Arrays:
    y = np.repeat(np.arange(len(counts)), counts)
    x = _inputs((len(y), *shape), random)
    if random.integers(3) == 0:  # the same example under two names
        x[int(random.integers(len(y)))] = x[0]
    if random.integers(6) == 0:  # all of them
        x[:] = x[0]
    return {INPUT: x.astype(np.float32), TARGET: y.astype(np.int64)}


def _values(
    shape: tuple[int, ...], examples: int, outputs: int, random: np.random.Generator
) -> Arrays:
    y = random.normal(0, 10.0 ** random.integers(-3, 4), (examples, outputs))
    x = random.normal(0, 10.0 ** random.integers(-3, 2), (examples, *shape))
    if random.integers(4) == 0:
        x[:] = x[0]
    return {INPUT: x.astype(np.float32), TARGET: y.astype(np.float32)}


def _inputs(shape: tuple[int, ...], random: np.random.Generator) -> Numbers:
    """Noise, strokes, nothing, full, one dot, negatives, and numbers far beyond a picture's."""
    kind = int(random.integers(8))
    if kind == 0:
        return np.zeros(shape)
    if kind == 1:
        return np.ones(shape)
    if kind == 2:
        return np.broadcast_to(random.random(shape[1:]), shape).copy()
    if kind == 3:
        return (random.random(shape) < 0.02).astype(np.float64)
    if kind == 4:
        return 1 - (random.random(shape) < 0.1).astype(np.float64)
    if kind == 5:
        return random.normal(0, 10.0 ** random.integers(-20, 13), shape)
    return random.random(shape)


def faults(checkpoint: Checkpoint, way: Way, rows: list[Arrays], outputs: int) -> list[str]:
    """What went wrong with these support sets."""
    work = [Work(support=row, step_size=way.step_size) for row in rows]
    done = adapt_rows(
        checkpoint,
        work,
        outputs=outputs,
        steps=way.steps,
        adapts=way.adapts,
        device=torch.device("cpu"),
    )
    told = []
    for one in done:
        if isinstance(one, Failure):
            told.append(one.detail)
        elif not float(one.losses[-1]) <= float(one.losses[0]):
            told.append(f"the support loss rose from {one.losses[0]:g} to {one.losses[-1]:g}")
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=10_000, help="for each checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("names", nargs="*", help="of checkpoints; none: all that ship")
    asked = parser.parse_args()
    wrong = 0
    for file in sorted(SHIPPED.glob("*.safetensors")):
        if not asked.names or file.stem in asked.names:
            wrong += _through(load_checkpoint(file.read_bytes()), asked.sets, asked.seed)
    return 1 if wrong else 0


def _through(checkpoint: Checkpoint, sets: int, seed: int) -> int:
    """So many support sets, shared out over the ways to adapt; how many faults there were."""
    ways = {name: way for name, way in ways_of(checkpoint).items() if way.steps}
    random, wrong = np.random.default_rng(seed), 0
    for name, way in ways.items():
        stacks = list(support_sets(checkpoint, -(-sets // len(ways)), random))
        told: list[str] = []
        for rows, outputs in track(stacks, f"{checkpoint.name}, {name}", transient=True):
            told += faults(checkpoint, way, rows, outputs)
        wrong += len(told)
        count = len(stacks) * AT_ONCE
        print(f"{checkpoint.name:40} {name:10} {count:6} sets, {len(told)} faults", *told[:3])
    return wrong


if __name__ == "__main__":
    sys.exit(main())
