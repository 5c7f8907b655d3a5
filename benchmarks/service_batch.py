"""A thousand small adaptations in one call, beside the engine's own time for them.

    python -m benchmarks.service_batch [--short]

Each kind of work is sent as one ``POST /adaptations:batch``, and again as single requests of 16
clients that never pause: the rival. The engine adapts the same supports alone, in this process, in
stacked calls of the service's size and with its one thread. All supports differ.
"""

import asyncio
import base64
import http.client
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from benchmarks.service.client import drive, post
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
    NUMBERS,
    PICTURES,
    checkpoint,
    picture_support,
    picture_work,
)
from benchmarks.service.services import KINDS, Measured, NotThere, service
from worker.stacking import adapt_rows
from worker.work import Work

TIMES, PLUS_S = 1.2, 2.0
AT_ONCE: Final = 32  # the service's batch limit
CLIENTS = 16

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """make: a body of POST /adapt and the same support as the engine takes it."""

    name: str
    checkpoint: str
    adapts: str
    outputs: int
    make: Callable[[random.Random], tuple[Json, Work]]


def measure(short: bool) -> Figure:
    torch.set_num_threads(1)
    count, rounds = (100, 1) if short else (1000, 3)
    rows = [_row(kind, work, count, rounds) for kind in KINDS for work in WORK]
    told = ", ".join(
        f"{row['over_s']} s for {row['work']} {row['service']}" for row in rows if "over_s" in row
    )
    return Figure(
        figure="service_batch",
        title=f"{count} small adaptations in one call",
        goal=f"≤ {TIMES} × the engine's own time + {PLUS_S:g} s",
        reached=all_reached(rows),
        headline=f"beyond {TIMES} × the engine's time: {told or 'not measured'}",
        rows=rows,
        command=command("service_batch", short),
    )


def _row(service_kind: str, kind: Kind, count: int, rounds: int) -> Row:
    say(f"one call of {count}, {kind.name}, {service_kind}")
    try:
        with service(service_kind) as measured:
            _round(measured, kind, -1, 2 * AT_ONCE)
            found = [_round(measured, kind, number, count) for number in range(rounds)]
    except NotThere as why:
        return {**not_measured(service_kind, why), "work": kind.name}
    over = spread("over_s", [one["over_s"] for one in found])
    return {
        "service": service_kind,
        "work": kind.name,
        **over,
        **{name: spread(name, [one[name] for one in found])[name] for name in found[0]},
        "rounds": rounds,
        "reached": over["over_s"] <= PLUS_S,
    }


def _round(measured: Measured, kind: Kind, number: int, count: int) -> dict[str, float]:
    randomness = random.Random(f"{kind.name} {number}")
    made = [kind.make(randomness) for _ in range(2 * count)]
    engine_s = _engine_s(kind, [work for _, work in made[:count]])
    call_s = _call_s(measured.port, [body for body, _ in made[:count]])
    single_s = _single_s(measured.port, [body for body, _ in made[count:]])
    return {
        "engine_s": engine_s,
        "call_s": call_s,
        "over_s": call_s - TIMES * engine_s,
        "single_requests_s": single_s,
        "times_faster_than_single": single_s / call_s,
    }


def _engine_s(kind: Kind, work: Sequence[Work]) -> float:
    learned = checkpoint(kind.checkpoint)
    started = time.perf_counter()
    for first in range(0, len(work), AT_ONCE):
        adapt_rows(
            learned,
            work[first : first + AT_ONCE],
            outputs=kind.outputs,
            steps=learned.recipe.steps,
            adapts=kind.adapts,
            device=torch.device("cpu"),
        )
    return time.perf_counter() - started


def _call_s(port: int, bodies: Sequence[Json]) -> float:
    lines = "\n".join(json.dumps(body) for body in bodies).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    started = time.perf_counter()
    headers = {"Content-Type": "application/x-ndjson"}
    connection.request("POST", "/adaptations:batch", lines, headers)
    answers = [json.loads(line) for line in connection.getresponse().read().splitlines()]
    taken = time.perf_counter() - started
    connection.close()
    ended = sum(answer.get("status") == "succeeded" for answer in answers)
    if ended != len(bodies):
        raise RuntimeError(f"{ended} of {len(bodies)} succeeded")
    return taken


def _single_s(port: int, bodies: Sequence[Json]) -> float:
    requests = [post("/adapt", json.dumps(body).encode(), "application/json") for body in bodies]
    started = time.perf_counter()
    asyncio.run(drive(port, requests, clients=CLIENTS))
    return time.perf_counter() - started


def _sine(randomness: random.Random) -> tuple[Json, Work]:
    height, phase = randomness.uniform(0.5, 4), randomness.uniform(0, 3)
    x = np.array([[randomness.uniform(-5, 5)] for _ in range(5)], np.float32)
    y = (height * np.sin(x - phase)).astype(np.float32)
    body = {"checkpoint": NUMBERS, "support": {"inputs": x.tolist(), "targets": y.tolist()}}
    return body, Work(support={"x": x, "y": y}, step_size=None)


def _pictures(adapts: str) -> Callable[[random.Random], tuple[Json, Work]]:
    def make(randomness: random.Random) -> tuple[Json, Work]:
        support = picture_support(randomness)
        given = {
            "inputs": [
                f"data:image/png;base64,{base64.b64encode(picture).decode()}"
                for _, picture in support
            ],
            "targets": [name for name, _ in support],
        }
        return {"checkpoint": PICTURES, "support": given, "adapts": adapts}, picture_work(support)

    return make


WORK: Final = (
    Kind(name="five points", checkpoint=NUMBERS, adapts="all", outputs=1, make=_sine),
    Kind(
        name="five pictures, head alone",
        checkpoint=PICTURES,
        adapts="head",
        outputs=5,
        make=_pictures("head"),
    ),
    Kind(
        name="five pictures, everything",
        checkpoint=PICTURES,
        adapts="all",
        outputs=5,
        make=_pictures("all"),
    ),
)

if __name__ == "__main__":
    main("service_batch", measure)
