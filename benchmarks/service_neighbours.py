"""Predictions over many different adaptations beside predictions with one of them.

    python -m benchmarks.service_neighbours [--short]

1,000 adaptations are made and each is asked once; then rounds over one and over all in random order
in turn. Pictures need more memory for hot parameters than the default, so they are given 1 GiB.
"""

import asyncio
import json
import random

from benchmarks.service.client import drive, endless, get_prediction
from benchmarks.service.figure import Figure, Row, all_reached, command, main, say, spread
from benchmarks.service.orders import (
    data_url,
    drawings,
    picture_order,
    picture_support,
    sine_order,
)
from benchmarks.service.services import service

GOAL = 0.8
MAKERS, CLIENTS = 32, 10


def measure(short: bool) -> Figure:
    many, rounds, seconds = (200, 3, 0.5) if short else (1000, 12, 1.5)
    rows = [_row(given, many, rounds, seconds) for given in ("number", "picture")[: 2 - short]]
    told = ", ".join(f"{row['share']:.0%} for a {row['input']}" for row in rows)
    return Figure(
        figure="service_neighbours",
        title=f"Predictions over {many} different adaptations beside one",
        goal="≥ 80 % of the requests/s",
        reached=all_reached(rows),
        headline=told,
        rows=rows,
        command=command("service_neighbours", short),
    )


def _row(given: str, many: int, rounds: int, seconds: float) -> Row:
    say(f"neighbours, {given}")
    cache = {} if given == "number" else {"FEWSTEP_PHI_CACHE_MIB": "1024"}
    with service("embedded", **cache) as measured:
        one, all_ = asyncio.run(_rates(measured.port, given, many, rounds, seconds))
    share = spread("share", [a / b for a, b in zip(all_, one, strict=True)])
    return {
        "service": "embedded",
        "input": given,
        "adaptations": many,
        **share,
        **spread("requests_per_s_over_one", one, digits=1),
        **spread("requests_per_s_over_all", all_, digits=1),
        "rounds": rounds,
        "reached": share["share"] >= GOAL,
    }


async def _rates(
    port: int, given: str, many: int, rounds: int, seconds: float
) -> tuple[list[float], list[float]]:
    """Requests per second over one adaptation and over all, in each round."""
    ids, randomness = await make(port, given, many), random.Random(5)
    asked = [get_prediction(one, _input(given, randomness)) for one in ids]
    await drive(port, asked, clients=CLIENTS)
    randomness.shuffle(asked)
    first = [get_prediction(ids[0], _input(given, randomness)) for _ in range(100)]
    one, over_all = endless(first), endless(asked)
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for kept, requests in zip(rates, (one, over_all), strict=True):
            taken = await drive(port, requests, clients=CLIENTS, seconds=seconds)
            kept.append(len(taken) / seconds)
    return rates


async def make(port: int, given: str, many: int) -> list[str]:
    """The ids of so many new adaptations."""
    randomness = random.Random(4)
    orders = (
        sine_order(randomness) if given == "number" else picture_order(picture_support(randomness))
        for _ in range(many)
    )
    answers: list[bytes] = []
    await drive(port, orders, clients=MAKERS, answered=answers.append)
    return [json.loads(body)["id"] for body in answers]


def _input(given: str, randomness: random.Random) -> str:
    if given == "number":
        return f"{randomness.uniform(-5, 5):.3f}"
    return data_url(randomness.choice(randomness.choice(list(drawings().values()))))


if __name__ == "__main__":
    main("service_neighbours", measure)
