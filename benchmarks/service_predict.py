"""GET /predict of one warm adaptation beside an empty route of the same server, ten clients.

    python -m benchmarks.service_predict [--short]

Rounds of an empty async route, of a number (sinusoid) and of a picture (28 × 28 PNG as a data URL)
in turn; the shares are within a round.
"""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Iterable

from benchmarks.service.client import connect, drive, endless, get, get_prediction
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
    data_url,
    drawings,
    picture_order,
    picture_support,
    sine_order,
)
from benchmarks.service.services import KINDS, Measured, NotThere, service

CLIENTS = 10
GOALS = {"number": 0.5, "picture": 0.25}  # of the empty route's requests per second
MEDIAN_MS = 5


def measure(short: bool) -> Figure:
    rounds, seconds = (3, 0.5) if short else (12, 1.5)
    rows = [row for kind in KINDS[: 1 if short else 2] for row in _rows(kind, rounds, seconds)]
    told = ", ".join(f"{r['share']:.0%} for a {r['input']} {r['service']}" for r in _known(rows))
    return Figure(
        figure="service_predict",
        title="GET /predict of a warm adaptation, ten clients",
        goal="≥ 50 % of an empty route's requests/s for a number, ≥ 25 % for a picture; median"
        f" ≤ {MEDIAN_MS} ms",
        reached=all_reached(rows),
        headline=told or "not measured",
        rows=rows,
        command=command("service_predict", short),
    )


def _known(rows: list[Row]) -> list[Row]:
    return [row for row in rows if "share" in row]


def _rows(kind: str, rounds: int, seconds: float) -> list[Row]:
    say(f"predictions, {kind}")
    try:
        with service(kind) as measured:
            return asyncio.run(_measured(measured, kind, rounds, seconds))
    except NotThere as why:
        return [not_measured(kind, why)]


async def _measured(measured: Measured, kind: str, rounds: int, seconds: float) -> list[Row]:
    requests = await _requests(measured)
    for warm_up in requests.values():
        await drive(measured.port, warm_up, clients=CLIENTS, seconds=0.5)
    rates, latencies = defaultdict(list), defaultdict(list)
    for _ in range(rounds):
        for name, asked in requests.items():
            taken = await drive(measured.port, asked, clients=CLIENTS, seconds=seconds)
            rates[name].append(len(taken) / seconds)
            latencies[name].extend(taken)
    return [
        _row(kind, name, rates[name], rates["empty"], latencies[name], goal)
        for name, goal in GOALS.items()
    ]


def _row(
    kind: str, name: str, rates: list[float], empty: list[float], took: list[float], goal: float
) -> Row:
    share = spread("share", [one / base for one, base in zip(rates, empty, strict=True)])
    median_ms = quartiles(took, scale=1000)[1]
    return {
        "service": kind,
        "input": name,
        **share,
        **spread("requests_per_s", rates, digits=1),
        **spread("empty_requests_per_s", empty, digits=1),
        **spread("latency_ms", took, scale=1000),
        "rounds": len(rates),
        "reached": share["share"] >= goal and median_ms <= MEDIAN_MS,
    }


async def _requests(measured: Measured) -> dict[str, Iterable[bytes]]:
    connection, randomness = await connect(measured.port), random.Random(3)
    sine = json.loads(await connection.ask(sine_order(randomness)))["id"]
    support = picture_support(randomness)
    pictures = json.loads(await connection.ask(picture_order(support)))["id"]
    connection.close()
    numbers = [get_prediction(sine, f"{randomness.uniform(-5, 5):.3f}") for _ in range(100)]
    urls = [data_url(one) for label, _ in support for one in drawings()[label]]
    return {
        "empty": endless([get("/empty")]),
        "number": endless(numbers),
        "picture": endless([get_prediction(pictures, url) for url in urls]),
    }


if __name__ == "__main__":
    main("service_predict", measure)
