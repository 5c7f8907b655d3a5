"""Adapting the head alone: beside adapting everything, and beside ANIL (Raghu et al. 2020).

    .venv-peers/bin/python -m benchmarks.heads [--short]

Thirty-two tenants bring five pictures each, and all contenders have one network, one θ and as many
steps (contest.py). The engine goes the worker's way: everything moves, or the head alone, or the
kernel head takes its one step in closed form. ANIL computes a task's features once and takes its
gradient steps on the head, one task after the other, in plain torch and in learn2learn. That both
arrive where the engine's own plain steps on the head do is checked in float64 before anything is
timed. The steps that are served are others: of centred and scaled features, with a size that cannot
overshoot (``models/heads/steady.py``).

One thread of torch, as in check.py: two wait for each other where the machine has other work. On an
idle one a second thread makes adapting everything up to 1.7 times as fast (adapting.py), so that
there the ratio may be smaller by as much.
"""

import argparse
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import contest
from benchmarks.agreement import SAME_MATHEMATICS
from benchmarks.contest import STEP_SIZE, STEPS, difference
from benchmarks.figure import Figure, print_figures
from benchmarks.peers import Adapting, Peer, installed_peers
from benchmarks.peers.network import PlainConv4, plain_network
from benchmarks.timing import Spread, Times, Work, in_turn, ratios
from models.episodes import Episodes
from models.files.adapted_file import dump_adapted
from models.files.checkpoint import Checkpoint, describe_checkpoint, load_checkpoint
from models.learner import CLOSED_FORMS, Adapts
from models.normalisation import Params
from worker.allocator import keep_freed_memory

TENANTS, THREADS = 32, 1
WAYS: tuple[Adapts, ...] = ("all", "head", "kernel")
ALL, HEAD, KERNEL = (f"Fewstep, {adapts}" for adapts in WAYS)
PLAIN, LIBRARY = "plain ANIL", "learn2learn ANIL"
GOAL_ALL, GOAL_BYTES = 5.0, 8_000
COMMAND = ".venv-peers/bin/python -m benchmarks.heads"


def ours(checkpoint: Checkpoint, episodes: Episodes, ways: Iterable[Adapts]) -> dict[str, Work]:
    """The worker's call for each way to adapt, by the contender's name."""
    return {
        f"Fewstep, {adapts}": contest.asked_of_worker(
            checkpoint,
            episodes.support_x,
            episodes.support_y,
            adapts=adapts,
            steps=1 if adapts in CLOSED_FORMS else STEPS,
        )
        for adapts in ways
    }


def plain_anil(network: PlainConv4, steps: int, step_size: float) -> Adapting:
    """ANIL as one would write it down first, from plain torch alone."""
    body = {n: p.detach() for n, p in network.named_parameters() if not n.startswith("head.")}
    start = [network.head.weight.detach(), network.head.bias.detach()]

    def one(x: Tensor, y: Tensor) -> Params:
        with torch.no_grad():
            features = network.features(x)
        head = start
        for _ in range(steps):
            at = [value.detach().requires_grad_() for value in head]
            gradient = torch.autograd.grad(F.cross_entropy(F.linear(features, *at), y), at)
            head = [a.detach() - step_size * g for a, g in zip(at, gradient, strict=True)]
        return body | {"head.weight": head[0], "head.bias": head[1]}

    return lambda x_ES, y_ES: [one(x, y) for x, y in zip(x_ES, y_ES, strict=True)]


def anils(theta: Params, peers: list[Peer]) -> dict[str, Adapting]:
    """Every ANIL that this interpreter has, each on a network of its own at θ."""
    found = {PLAIN: plain_anil(plain_network(theta), STEPS, STEP_SIZE)}
    for peer in peers:
        if peer.anil is not None:
            found[f"{peer.name} ANIL"] = peer.anil(plain_network(theta), STEPS, STEP_SIZE)
    return found


def check_heads(checkpoint: Checkpoint, peers: list[Peer]) -> None:
    """Raises AssertionError, naming the ANIL whose heads in float64 are not the engine's."""
    exact = contest.in_float64(checkpoint)
    theta = exact.meta.theta
    episodes = contest.draw_episodes(4, shot=1, query=1)
    x, y = episodes.support_x.double(), episodes.support_y
    expected = contest.adapt_stacked(exact, x, y, adapts="head")
    for name, adapting in anils(theta, peers).items():
        pairs = zip(adapting(x, y), expected, strict=True)
        apart = max(difference(_head(a), _head(b), theta) for a, b in pairs)
        assert apart <= SAME_MATHEMATICS, f"{name}: off by {apart:.1e} in float64"


def measure(checkpoint: Checkpoint, peers: list[Peer], *, seconds: float) -> Times:
    """The times of all contenders in turn, after the ANILs were found to be one."""
    check_heads(checkpoint, peers)
    episodes = contest.draw_episodes(TENANTS, shot=1, query=1)
    works = ours(checkpoint, episodes, WAYS)
    for name, adapting in anils(checkpoint.meta.theta, peers).items():
        works[name] = lambda adapting=adapting: adapting(episodes.support_x, episodes.support_y)
    return in_turn(works, threads=[THREADS], at_most_s=seconds, rounds=(5, 31))


def against(times: Times, name: str) -> Spread:
    """How many times as long that contender takes as the head alone."""
    return ratios(times[name, THREADS], times[HEAD, THREADS])


def rows_of(times: Times) -> list[dict[str, Any]]:
    """A row for every contender."""
    rows = []
    for (name, threads), seconds in times.items():
        middle, ratio = statistics.median(seconds), against(times, name)
        rows.append(
            {
                "contender": name,
                "threads": threads,
                "median_ms": round(1e3 * middle, 2),
                "per_s": round(TENANTS / middle, 1),
                "times_head": round(ratio.median, 2),
                "times_head_low": round(ratio.low, 2),
                "times_head_high": round(ratio.high, 2),
                "rounds": len(seconds),
            }
        )
    return rows


def against_all(times: Times) -> Figure:
    ratio, kernel = against(times, ALL), ratios(times[ALL, THREADS], times[KERNEL, THREADS])
    return Figure(
        figure="heads",
        title="adapting the head alone, one thread, E = 32, beside adapting everything",
        goal=f"≥ {GOAL_ALL:g} × at 5-way 1-shot, {STEPS} steps each",
        command=COMMAND,
        headline=f"{ratio.median:.1f} × ({kernel.median:.1f} × for the kernel head)",
        reached=ratio.median >= GOAL_ALL,
        rows=rows_of(times),
    )


def against_anil(times: Times) -> Figure:
    """No goal of its own; the rows are those of ``against_all``."""
    measured = {name: against(times, name) for name in anils_in(times)}
    headline = ", ".join(f"{ratio.median:.1f} × {name}" for name, ratio in measured.items())
    if LIBRARY not in measured:
        headline += "; learn2learn not measured: make bench installs it"
    return Figure(
        figure="heads-anil",
        title="adapting the head alone, one thread, E = 32, beside ANIL",
        goal="–",
        command=COMMAND,
        headline=headline,
        rows=[
            {
                "contender": name,
                "ratio": round(ratio.median, 2),
                "low": round(ratio.low, 2),
                "high": round(ratio.high, 2),
                "rounds": ratio.rounds,
            }
            for name, ratio in measured.items()
        ],
    )


def anils_in(times: Times) -> list[str]:
    return list(dict.fromkeys(name for name, _ in times if name.endswith("ANIL")))


def stored_bytes(checkpoint: Checkpoint) -> dict[str, int]:
    """What the file of one adaptation weighs, by what adapts: its body only where that moved.

    Its description is what the checkpoint says of itself, but where it comes from and how well it
    does; the service's says as much.
    """
    about = describe_checkpoint(checkpoint)
    apart = ("provenance", "evaluation", "calibration")
    about = {name: about[name] for name in about if name not in apart}
    calibration = load_checkpoint(contest.FILE.read_bytes()).learner.calibration
    learner = replace(checkpoint.learner, calibration=calibration)  # as it is served
    checkpoint = replace(checkpoint, learner=learner)
    one = contest.draw_episodes(1, shot=1, query=1)
    sizes = {}
    for adapts in WAYS:
        (work,) = ours(checkpoint, one, [adapts]).values()
        (adapted,) = work()
        body = None if adapts == "all" else "0" * 64  # as long as the digest of a file
        sizes[adapts] = len(dump_adapted(adapted, about, body=body))
    return sizes


def stored(sizes: Mapping[str, int]) -> Figure:
    said = ", ".join(f"{adapts} {size / 1e3:.1f} kB" for adapts, size in sizes.items())
    return Figure(
        figure="heads-stored",
        title="stored bytes of an adaptation, 5-way 1-shot, by what adapts",
        goal=f"≤ {GOAL_BYTES / 1e3:g} kB for the head alone",
        command=COMMAND,
        headline=said,
        reached=sizes["head"] <= GOAL_BYTES,
        rows=[{"adapts": adapts, "bytes": size} for adapts, size in sizes.items()],
    )


def _head(params: Params) -> Params:
    return {name: value for name, value in params.items() if name.startswith("head.")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="few rounds")
    chosen = parser.parse_args()
    keep_freed_memory()
    checkpoint = contest.shared_checkpoint()
    times = measure(checkpoint, installed_peers(), seconds=10.0 if chosen.short else 60.0)
    print_figures([against_all(times), against_anil(times), stored(stored_bytes(checkpoint))])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
