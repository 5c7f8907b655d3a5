"""Adaptations per second: the engine, the plain Python loop and the libraries, in one run.

    .venv-peers/bin/python -m benchmarks.adapting [--short] [--device cuda]

All of them take five gradient steps of one size from the same θ on the same episodes (contest.py)
and must arrive at the same φ before anything is timed. Ours goes the worker's way: from arrays to
φ with its statistics, the loss at every step and the check that all is finite, none of which the
libraries give. Every contender is timed with one thread of torch and with all, and its better one
counts. Without the libraries' environment the engine is measured against the loop alone.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks import contest
from benchmarks.agreement import check_mathematics, check_phis
from benchmarks.arithmetic import counted_flops, flops_of_adaptation, sgemm_gflops
from benchmarks.contest import LOOP, OURS, STEP_SIZE, STEPS, WAY
from benchmarks.figure import Figure, print_figures
from benchmarks.peers import Peer, installed_peers
from benchmarks.peers.network import plain_network
from benchmarks.timing import Times, Work, best_threads, in_turn, ratios, say, thread_counts
from models.episodes import Episodes
from models.files.checkpoint import Checkpoint
from worker.allocator import keep_freed_memory

MODULE = "benchmarks.adapting"
EPISODES, SHOTS = (1, 8, 32, 128, 256), (1, 5)
PEERS_AT = (1, 32)  # they go through the episodes one by one: their time grows as E does
GOAL_PEERS, GOAL_LOOP, GOAL_SHARE, GOAL_GPU = 3.0, 0.95, 0.35, 20.0


@dataclass(frozen=True, slots=True)
class Case:
    """One size of the problem, and the times that its contenders took."""

    episodes: int
    shot: int
    times: Times
    sgemm: float

    def seconds(self, name: str) -> list[float]:
        return self.times[name, best_threads(self.times)[name]]

    def peers(self) -> list[str]:
        names = {name for name, _ in self.times} - {OURS, LOOP}
        return sorted(names, key=lambda name: statistics.median(self.seconds(name)))


def contenders(
    checkpoint: Checkpoint, episodes: Episodes, peers: list[Peer]
) -> dict[str, Callable[[], list[contest.Params]]]:
    x, y = episodes.support_x, episodes.support_y
    works = {
        OURS: contest.adapt_ours(checkpoint, x, y),
        LOOP: contest.adapt_in_a_loop(checkpoint, x, y),
    }
    for peer in peers:
        adapting = peer.adapting(plain_network(checkpoint.meta.theta), STEPS, STEP_SIZE)
        works[peer.name] = lambda adapting=adapting: adapting(x, y)
    return works


def measure(
    checkpoint: Checkpoint, shot: int, count: int, peers: list[Peer], *, seconds: float
) -> Case:
    """The times of one case, after all contenders gave the same φ."""
    device = checkpoint.meta.theta["head.bias"].device
    episodes = contest.draw_episodes(count, shot=shot, query=1).to(device)
    works: dict[str, Work] = dict(contenders(checkpoint, episodes, peers))
    check_phis(checkpoint.meta.theta, {name: work() for name, work in works.items()})  # type: ignore[misc]
    sgemm = sgemm_gflops(device)
    times = in_turn(works, threads=threads_on(device), at_most_s=seconds, rounds=(3, 31))
    sgemm = max(sgemm, sgemm_gflops(device))
    return Case(count, shot, times, sgemm)


def threads_on(device: torch.device) -> list[int]:
    return thread_counts() if device.type == "cpu" else [torch.get_num_threads()]


def rows_of(case: Case) -> Iterator[dict[str, Any]]:
    """A row for every contender and number of threads."""
    best = best_threads(case.times)
    ours = case.seconds(OURS)
    for (name, threads), seconds in case.times.items():
        low, middle, high = _quartiles(seconds)
        against = ratios(seconds, ours)
        yield {
            "shot": case.shot,
            "episodes": case.episodes,
            "contender": name,
            "threads": threads,
            "counts": best[name] == threads,
            "median_ms": round(1e3 * middle, 2),
            "low_ms": round(1e3 * low, 2),
            "high_ms": round(1e3 * high, 2),
            "rounds": len(seconds),
            "per_s": round(case.episodes / middle, 1),
            "times_ours": round(against.median, 2),
            "times_ours_low": round(against.low, 2),
            "times_ours_high": round(against.high, 2),
        }


def against_peers(cases: list[Case], command: str, *, goal: float, device: str) -> Figure:
    """The figure of the largest case at one shot that the libraries took part in."""
    rows = [row for case in cases for row in rows_of(case)]
    title = f"adaptations/s, {device}, against the best library"
    figure = "adapting" if device == "CPU" else "adapting-gpu"
    judged = [case for case in cases if case.shot == 1 and case.peers()]
    described = f"≥ {goal:g} × at 5-way 1-shot, {STEPS} steps"
    if not judged:
        headline = "not measured: the libraries' environment is missing (make bench installs it)"
        return Figure(
            figure=figure,
            title=title,
            goal=described,
            command=command,
            headline=headline,
            rows=rows,
        )
    case = max(judged, key=lambda one: one.episodes)
    best = case.peers()[0]
    ratio = ratios(case.seconds(best), case.seconds(OURS))
    per_s = case.episodes / statistics.median(case.seconds(OURS))
    headline = f"{ratio.median:.2f} × {best} ({per_s:.0f}/s) at E = {case.episodes}"
    return Figure(
        figure=figure,
        title=title,
        goal=described,
        command=command,
        headline=headline,
        reached=ratio.median >= goal,
        rows=rows,
    )


def against_loop(cases: list[Case], command: str) -> Figure:
    rows = []
    for case in cases:
        ratio = ratios(case.seconds(LOOP), case.seconds(OURS))
        rows.append(
            {
                "shot": case.shot,
                "episodes": case.episodes,
                "ratio": round(ratio.median, 3),
                "low": round(ratio.low, 3),
                "high": round(ratio.high, 3),
                "rounds": ratio.rounds,
            }
        )
    worst = min(rows, key=lambda row: row["ratio"])
    return Figure(
        figure="adapting-loop",
        title="adaptations/s, CPU, against the plain loop",
        goal=f"≥ {GOAL_LOOP} × at every E and shot",
        command=command,
        headline=f"at least {worst['ratio']} × (E = {worst['episodes']}, {worst['shot']} shot)",
        reached=worst["ratio"] >= GOAL_LOOP,
        rows=rows,
    )


def share_of_sgemm(cases: list[Case], command: str) -> Figure:
    rows = []
    for case in cases:
        flops = flops_of_adaptation(images=WAY * case.shot, steps=STEPS)
        low, middle, high = _quartiles(case.seconds(OURS))
        rate = [flops * case.episodes / seconds / 1e9 for seconds in (middle, high, low)]
        rows.append(
            {
                "shot": case.shot,
                "episodes": case.episodes,
                "mflop_per_adaptation": round(flops / 1e6, 1),
                "gflops": round(rate[0], 1),
                "sgemm_gflops": round(case.sgemm, 1),
                "share": round(rate[0] / case.sgemm, 3),
                "low": round(rate[1] / case.sgemm, 3),
                "high": round(rate[2] / case.sgemm, 3),
                "rounds": len(case.seconds(OURS)),
            }
        )
    judged = next(row for row in rows if (row["shot"], row["episodes"]) == (1, 32))
    return Figure(
        figure="sgemm-share",
        title="share of the machine's own sgemm rate, CPU, E = 32, 1 shot",
        goal=f"≥ {GOAL_SHARE:.0%}",
        command=command,
        headline=f"{judged['share']:.0%} of {judged['sgemm_gflops']} GFLOP/s",
        reached=judged["share"] >= GOAL_SHARE,
        rows=rows,
    )


def check_count(checkpoint: Checkpoint) -> None:
    """Raises AssertionError where the written count is not what torch's counter sees."""
    for shot in SHOTS:
        episode = contest.draw_episodes(1, shot=shot, query=1)
        network = plain_network(checkpoint.meta.theta)
        seen = counted_flops(network, episode.support_x[0], episode.support_y[0], STEPS)
        assert seen == flops_of_adaptation(images=WAY * shot, steps=STEPS), seen


def _quartiles(seconds: list[float]) -> tuple[float, float, float]:
    spread = ratios(seconds, [1.0] * len(seconds))
    return spread.low, spread.median, spread.high


def on_cpu(command: str, *, short: bool) -> list[Figure]:
    checkpoint, peers = contest.shared_checkpoint(torch.device("cpu")), installed_peers()
    check_count(checkpoint)
    check_mathematics(checkpoint, peers)
    cases = []
    for shot in SHOTS:
        for count in EPISODES[:3] if short else EPISODES:
            say(f"adapting: {shot} shot, E = {count}")
            taking_part = peers if count in PEERS_AT else []
            seconds = 6.0 if short else 30.0
            cases.append(measure(checkpoint, shot, count, taking_part, seconds=seconds))
    return [
        against_peers(cases, command, goal=GOAL_PEERS, device="CPU"),
        against_loop(cases, command),
        share_of_sgemm(cases, command),
    ]


def on_gpu(command: str) -> list[Figure]:
    if not torch.cuda.is_available():
        return [
            Figure(
                figure="adapting-gpu",
                title="adaptations/s, one GPU, against the best library",
                goal=f"≥ {GOAL_GPU:g} × at 5-way 1-shot, E = 256",
                command=command,
                headline="not measured: no GPU",
            )
        ]
    checkpoint = contest.shared_checkpoint(torch.device("cuda"))
    cases = [
        measure(checkpoint, shot, count, installed_peers(), seconds=30.0)
        for shot in SHOTS
        for count in (1, 32, 256)
    ]
    return [against_peers(cases, command, goal=GOAL_GPU, device=torch.cuda.get_device_name())]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="small sizes and few rounds")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    chosen = parser.parse_args()
    keep_freed_memory()  # as a worker does; all contenders have it
    command = f".venv-peers/bin/python -m {MODULE}"
    if chosen.device == "cuda":
        print_figures(on_gpu(f"{command} --device cuda"))
    else:
        print_figures(on_cpu(command, short=chosen.short))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
