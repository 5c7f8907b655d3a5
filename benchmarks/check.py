"""The short form for CI: few ratios, of the engine to the plain loop and of adapting the head alone
to adapting everything, held to committed floors.

    python -m benchmarks.check

Runs under a minute, without the libraries that the full figures compare with. Each ratio is taken
within rounds that time both ways one after the other, so that what slows the machine slows both;
the median over the rounds counts. One thread of torch, for two wait for each other where a machine
is shared, and then nothing is measured but that. Exits 1 and names each ratio that is below its
floor.
"""

import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import contest, heads
from benchmarks.contest import LOOP, OURS, Trained
from benchmarks.timing import Spread, Work, in_turn, ratios, say
from models.episodes import Episodes
from models.files.checkpoint import Checkpoint
from models.normalisation import Params
from worker.allocator import keep_freed_memory

FLOORS = Path(__file__).parent / "floors.toml"
SECONDS = 5.0  # per ratio, of which there are six
ROUNDS = (3, 25)
HEAD_ALONE = "head alone, 1 shot, E = 32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """expected: the ratio that was measured when this was written; margin: what it may lose."""

    expected: float
    margin: float

    @property
    def least(self) -> float:
        return self.expected * (1 - self.margin)


def read_floors(capability: str, path: Path = FLOORS) -> dict[str, Floor]:
    """The floor of every ratio on such a CPU, by its name; the least of all on an unknown one."""
    document = tomllib.loads(path.read_text())
    margin, by_cpu = document["margin"], document["ratios"]
    known = [by_cpu[capability]] if capability in by_cpu else list(by_cpu.values())
    return {
        name: Floor(expected=min(ratios[name] for ratios in known), margin=margin)
        for name in known[0]
    }


def adapting_pair(
    checkpoint: Checkpoint, episodes: Episodes
) -> dict[str, Callable[[], list[Params]]]:
    x, y = episodes.support_x, episodes.support_y
    return {
        OURS: contest.adapt_ours(checkpoint, x, y),
        LOOP: contest.adapt_in_a_loop(checkpoint, x, y),
    }


def head_pair(checkpoint: Checkpoint) -> dict[str, Work]:
    episodes = contest.draw_episodes(heads.TENANTS, shot=1, query=1)
    return heads.ours(checkpoint, episodes, ("head", "all"))


def outer_step_pair(checkpoint: Checkpoint) -> dict[str, Work]:
    episodes = contest.draw_episodes(16, shot=1, query=1)
    ours, loop = Trained(checkpoint), Trained(checkpoint)
    return {
        OURS: lambda: ours.step_ours(episodes),
        LOOP: lambda: loop.step_in_a_loop(episodes),
    }


def pairs() -> dict[str, Callable[[], Mapping[str, Work]]]:
    """What is timed for each ratio, prepared only when its turn comes."""
    checkpoint = contest.shared_checkpoint(torch.device("cpu"))
    sizes = [(1, 1), (1, 8), (1, 32), (5, 8)]
    prepared: dict[str, Callable[[], Mapping[str, Work]]] = {
        f"adapting, {shot} shot, E = {count}": lambda shot=shot, count=count: adapting_pair(
            checkpoint, contest.draw_episodes(count, shot=shot, query=1)
        )
        for shot, count in sizes
    }
    prepared[HEAD_ALONE] = lambda: head_pair(checkpoint)
    prepared["outer step, 5 + 5 images, E = 16"] = lambda: outer_step_pair(checkpoint)
    return prepared


def measure() -> dict[str, Spread]:
    """How many times as long the second of a pair takes as the first, for every ratio."""
    measured = {}
    for name, prepare in pairs().items():
        times = in_turn(prepare(), threads=[1], at_most_s=SECONDS, rounds=ROUNDS)
        ours, theirs = times.values()
        measured[name] = ratios(theirs, ours)
        one = measured[name]
        say(f"{name}: {one.median:.2f} ({one.low:.2f} to {one.high:.2f}, {one.rounds} rounds)")
    return measured


def complaints(measured: Mapping[str, Spread], floors: Mapping[str, Floor]) -> list[str]:
    """A line for every ratio below its floor, and for every floor whose ratio was not measured."""
    lines = []
    for name, floor in floors.items():
        if name not in measured:
            lines.append(f"{name}: not measured, though benchmarks/floors.toml names it")
        elif measured[name].median < floor.least:
            slower = "adapting everything" if name == HEAD_ALONE else "the plain loop"
            got = f"{measured[name].median:.2f} over {slower}"
            allowed = f"expected {floor.expected:.2f}, at least {floor.least:.2f}"
            lines.append(f"{name}: {got}; {allowed}")
    return lines


def main(measuring: Callable[[], Mapping[str, Spread]] = measure) -> int:
    keep_freed_memory()
    found = complaints(measuring(), read_floors(torch.backends.cpu.get_cpu_capability()))
    for line in found:
        sys.stdout.write(f"too slow: {line}\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
