"""What lies between a client and the engine when the service is idle: one POST /adapt at a time.

    python -m benchmarks.service_roundtrip [--short]

POST /adapt of five pictures in turn with the same adaptation in this process; the difference of
each pair is the service's own. The disk's time to sync a file is measured beside it.
"""

import asyncio
import json
import os
import random
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.service.client import connect
from benchmarks.service.figure import (
    Figure,
    Row,
    all_reached,
    command,
    main,
    not_measured,
    quartiles,
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
from benchmarks.service.services import KINDS, Measured, NotThere, service
from worker.stacking import adapt_rows

GOAL_MS = 15
WARM_UP = 10


def measure(short: bool) -> Figure:
    torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))  # as the service shares them out
    rows = [_row(kind, pairs=20 if short else 200) for kind in KINDS]
    known = [row for row in rows if "own_ms" in row]
    told = ", ".join(f"{row['own_ms']} ms {row['service']}" for row in known)
    return Figure(
        figure="service_roundtrip",
        title="POST /adapt around the engine, one client, five pictures",
        goal=f"median ≤ {GOAL_MS} ms beside the same adaptation in-process",
        reached=all_reached(rows),
        headline=f"median beside the engine: {told or 'not measured'}",
        rows=rows,
        command=command("service_roundtrip", short),
    )


def _row(kind: str, pairs: int) -> Row:
    say(f"round trip, {kind}")
    try:
        with service(kind) as measured:
            posts, engine, told = asyncio.run(_pairs(measured, pairs))
            small, large = _sync_times(4096), _sync_times(450_000)
    except NotThere as why:
        return not_measured(kind, why)
    own = [post - alone for post, alone in zip(posts, engine, strict=True)]
    return {
        "service": kind,
        **spread("own_ms", own, scale=1000),
        **spread("post_ms", posts, scale=1000),
        **spread("engine_ms", engine, scale=1000),
        "adapt_ms_in_the_answer": round(statistics.median(told), 3),
        **spread("sync_4_kB_ms", small, scale=1000),
        **spread("sync_450_kB_ms", large, scale=1000),
        "pairs": pairs,
        "reached": quartiles(own, scale=1000)[1] <= GOAL_MS,
    }


async def _pairs(measured: Measured, pairs: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds of POSTs, seconds of the same in-process, and what the answers say of the engine."""
    connection, randomness = await connect(measured.port), random.Random(1)
    posts, engine, told = [], [], []
    for number in range(WARM_UP + pairs):
        support = picture_support(randomness)
        request, work = picture_order(support), picture_work(support)
        started = time.perf_counter()
        answer = json.loads(await connection.ask(request))
        posted = time.perf_counter()
        learned = checkpoint(PICTURES)
        steps = learned.recipe.steps
        adapt_rows(learned, [work], outputs=5, steps=steps, device=torch.device("cpu"))
        if number >= WARM_UP:
            posts.append(posted - started)
            engine.append(time.perf_counter() - posted)
            told.append(answer["timing"]["adapt_ms"])
    connection.close()
    return posts, engine, told


def _sync_times(size: int, files: int = 20) -> list[float]:
    """Seconds to sync a new file of so many bytes where the service keeps its data."""
    taken = []
    with TemporaryDirectory(prefix="fewstep-bench-") as folder:
        for number in range(files):
            with Path(folder, str(number)).open("wb") as file:
                file.write(os.urandom(size))
                file.flush()
                started = time.perf_counter()
                os.fsync(file.fileno())
                taken.append(time.perf_counter() - started)
    return taken


if __name__ == "__main__":
    main("service_roundtrip", measure)
