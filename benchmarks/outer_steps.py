"""The outer step of meta-training: the engine, the plain Python loop and the libraries, in one run.

    .venv-peers/bin/python -m benchmarks.outer_steps [--short] [--device cuda]

Second-order MAML on a meta-batch of 5-way 1-shot episodes with one inner step, and Adam's step;
queries are normalised together, as in Finn et al. 2017. All must give the same meta-gradient before
anything is timed; threads as in benchmarks.adapting.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import contest
from benchmarks.adapting import Case, rows_of, threads_on
from benchmarks.agreement import check_gradients
from benchmarks.contest import LOOP, OURS, STEP_SIZE, WAY, Trained
from benchmarks.figure import Figure, print_figures
from benchmarks.peers import Peer, installed_peers
from benchmarks.peers.network import plain_network
from benchmarks.timing import Work, in_turn, ratios, say
from models.files.checkpoint import Checkpoint
from models.normalisation import Params
from worker.allocator import keep_freed_memory

MODULE = "benchmarks.outer_steps"
QUERIES = (1, 15)  # per class: 5 + 5 and 5 + 75 images
GOALS = {"cpu": (3.0, 2.0), "cuda": (10.0, 10.0)}
EPISODES = {"cpu": 32, "cuda": 256}


def contenders(
    checkpoint: Checkpoint, episodes: contest.Episodes, peers: list[Peer]
) -> tuple[dict[str, Work], dict[str, Callable[[], Params]]]:
    """The outer steps, and how to read the meta-gradient of the last one."""
    ours, loop = Trained(checkpoint), Trained(checkpoint)
    works: dict[str, Work] = {
        OURS: lambda: ours.step_ours(episodes),
        LOOP: lambda: loop.step_in_a_loop(episodes),
    }
    gradients = {OURS: ours.gradient, LOOP: loop.gradient}
    for peer in peers:
        network = plain_network(checkpoint.meta.theta)
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
        step = peer.outer_step(network, optimiser, STEP_SIZE)
        works[peer.name] = lambda step=step: step(episodes)
        gradients[peer.name] = lambda network=network: {
            name: parameter.grad for name, parameter in network.named_parameters()
        }
    return works, gradients


def measure(
    checkpoint: Checkpoint, query: int, count: int, peers: list[Peer], *, seconds: float
) -> Case:
    device = checkpoint.meta.theta["head.bias"].device
    episodes = contest.draw_episodes(count, shot=1, query=query).to(device)
    works, gradients = contenders(checkpoint, episodes, peers)
    for work in works.values():
        work()
    check_gradients({name: read() for name, read in gradients.items()})
    times = in_turn(works, threads=threads_on(device), at_most_s=seconds, rounds=(3, 21))
    return Case(count, 1, times, 0.0)


def figure_of(cases: dict[int, Case], command: str, device: str) -> Figure:
    rows: list[dict[str, Any]] = []
    said, reached = [], []
    for (query, case), goal in zip(cases.items(), GOALS[device], strict=True):
        rows.extend({"images": f"5 + {WAY * query}"} | row for row in rows_of(case))
        rival = case.peers()[0] if case.peers() else LOOP
        ratio = ratios(case.seconds(rival), case.seconds(OURS)).median
        said.append(f"{ratio:.2f} × {rival} (5 + {WAY * query} images)")
        reached.append(ratio >= goal)
    measured = any(case.peers() for case in cases.values())
    return described(device, command, ", ".join(said), all(reached) if measured else None, rows)


def described(
    device: str,
    command: str,
    headline: str,
    reached: bool | None = None,
    rows: list[dict[str, Any]] | None = None,
) -> Figure:
    few, many = GOALS[device]
    where, figure = ("CPU", "outer-step") if device == "cpu" else ("one GPU", "outer-step-gpu")
    return Figure(
        figure=figure,
        title=f"outer step, {where}, {EPISODES[device]} episodes, against the best library",
        goal=f"≥ {few:g} × with 5 + 5 images, ≥ {many:g} × with 5 + 75",
        command=command,
        headline=headline,
        reached=reached,
        rows=rows or [],
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="few episodes and rounds")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    chosen = parser.parse_args()
    keep_freed_memory()  # as a worker does; all contenders have it
    command = f".venv-peers/bin/python -m {MODULE}"
    if chosen.device == "cuda":
        command += " --device cuda"
        if not torch.cuda.is_available():
            print_figures([described("cuda", command, "not measured: no GPU")])
            return 0
    checkpoint = contest.shared_checkpoint(torch.device(chosen.device))
    count = 8 if chosen.short else EPISODES[chosen.device]
    cases = {}
    for query in QUERIES:
        say(f"outer step: {count} episodes, 5 + {WAY * query} images")
        seconds = 6.0 if chosen.short else 45.0
        cases[query] = measure(checkpoint, query, count, installed_peers(), seconds=seconds)
    print_figures([figure_of(cases, command, chosen.device)])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
