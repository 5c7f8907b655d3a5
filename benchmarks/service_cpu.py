"""CPU time of everything around the engine, per adaptation, at 64 clients.

    python -m benchmarks.service_cpu [--short]

All the service's processes' CPU time while 64 clients post five pictures each without a pause, less
what the engine alone needs for as many adaptations in batches of the same sizes in this process.
"""

import asyncio
import json
import random
import time
from collections import Counter
from itertools import islice
from typing import Any

import torch

from benchmarks.service.client import drive
from benchmarks.service.figure import (
    Figure,
    Row,
    all_reached,
    command,
    main,
    not_measured,
    say,
    spread,
)
from benchmarks.service.orders import (
    PICTURES,
    checkpoint,
    picture_order,
    picture_support,
    picture_work,
)
from benchmarks.service.processes import ROLES, cpu_by_role
from benchmarks.service.services import KINDS, Measured, NotThere, service
from worker.stacking import adapt_rows

GOAL_MS = 10
CLIENTS = 64


def measure(short: bool) -> Figure:
    torch.set_num_threads(1)
    rounds, seconds = (1, 4.0) if short else (5, 8.0)
    rows = [_row(kind, rounds, seconds) for kind in KINDS]
    told = ", ".join(f"{row['own_ms']} ms {row['service']}" for row in rows if "own_ms" in row)
    return Figure(
        figure="service_cpu",
        title="CPU time around the engine per adaptation, 64 clients",
        goal=f"≤ {GOAL_MS} ms",
        reached=all_reached(rows),
        headline=f"beside the engine: {told or 'not measured'}",
        rows=rows,
        command=command("service_cpu", short),
    )


def _row(kind: str, rounds: int, seconds: float) -> Row:
    say(f"CPU time, {kind}")
    try:
        with service(kind) as measured:
            _round(measured, 0, seconds=2)
            found = [_round(measured, number, seconds) for number in range(1, rounds + 1)]
    except NotThere as why:
        return not_measured(kind, why)
    own = spread("own_ms", [one["own_ms"] for one in found])
    columns = [name for name in found[0] if name != "own_ms"]
    return {
        "service": kind,
        **own,
        **{name: spread(name, [one[name] for one in found])[name] for name in columns},
        "rounds": rounds,
        "reached": own["own_ms"] <= GOAL_MS,
    }


def _round(measured: Measured, number: int, seconds: float) -> dict[str, float]:
    randomness = random.Random(number)
    orders = [picture_order(picture_support(randomness)) for _ in range(4000)]
    answers: list[dict[str, Any]] = []
    before, started = cpu_by_role(measured), time.perf_counter()
    driven = drive(
        measured.port,
        orders,
        clients=CLIENTS,
        seconds=seconds,
        answered=lambda body: answers.append(json.loads(body)["timing"]),
    )
    asyncio.run(driven)
    taken, after = time.perf_counter() - started, cpu_by_role(measured)
    count = len(answers)
    used = {role: (after[role] - before[role]) * 1000 / count for role in ROLES}
    sizes = Counter(int(one["batch_size"]) for one in answers)
    engine = _engine_cpu_ms(sizes) / count
    return {
        "own_ms": sum(used.values()) - engine,
        "API_ms": used["API"],
        "worker_beside_engine_ms": used["worker"] - engine,
        "messages_ms": used["messages"],
        "database_ms": used["database"],
        "engine_ms": engine,
        "adaptations_per_s": count / taken,
        "mean_batch": count / sum(rows / size for size, rows in sizes.items()),
    }


def _engine_cpu_ms(sizes: Counter[int]) -> float:
    """CPU time of the engine for so many rows (values) in batches of these sizes (keys)."""
    randomness, total = random.Random(0), 0.0
    learned = checkpoint(PICTURES)
    for size, rows in sizes.items():
        work = [picture_work(picture_support(randomness)) for _ in range(size)]
        times = list(islice(_cpu_times(learned, work), 3))
        total += min(times) * rows / size * 1000
    return total


def _cpu_times(learned: Any, work: list[Any]) -> Any:
    steps = learned.recipe.steps
    while True:
        started = time.process_time()
        adapt_rows(learned, work, outputs=5, steps=steps, device=torch.device("cpu"))
        yield time.process_time() - started


if __name__ == "__main__":
    main("service_cpu", measure)
