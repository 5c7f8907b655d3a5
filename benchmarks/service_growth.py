"""Latency of POST /adapt and GET /predict as stored adaptations grow from 1 to 100,000.

    python -m benchmarks.service_growth [--short]

Two services side by side: one stays small, one is filled between the measurements. They are asked
in turn, one request each, so that whatever else the machine does hits both.
"""

import asyncio
import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from benchmarks.service.client import Connection, connect, get_prediction
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
from benchmarks.service.filling import fill
from benchmarks.service.orders import sine_order
from benchmarks.service.services import KINDS, Measured, NotThere, service

SIZES, SIZES_SHORT = (1, 1_000, 10_000, 100_000), (1, 1_000)
FLAT_WITHIN = 0.1
Ask = Callable[[], bytes]
Lines = tuple[Connection, Connection]
Result = TypeVar("Result")


def measure(short: bool) -> Figure:
    rows = [row for kind in KINDS[: 2 - short] for row in _rows(kind, short=short)]
    told = ", ".join(
        f"{row['request']} × {row['ratio']} {row['service']}" for row in _largest(rows)
    )
    return Figure(
        figure="service_growth",
        title="Latency as stored adaptations grow",
        goal="adapt and predict at 100,000 stored within 10 % of those at 1",
        reached=all_reached(rows),
        headline=f"at {rows[-1].get('stored', 0):,} stored: {told or 'not measured'}",
        rows=rows,
        command=command("service_growth", short),
    )


def _largest(rows: list[Row]) -> list[Row]:
    most = max((row.get("stored", 0) for row in rows), default=0)
    return [row for row in rows if row.get("stored") == most and "ratio" in row]


def _rows(kind: str, *, short: bool) -> list[Row]:
    try:
        with service(kind) as small, service(kind) as large:
            return asyncio.run(_compared(kind, small, large, short=short))
    except NotThere as why:
        return [not_measured(kind, why)]


async def _compared(kind: str, small: Measured, large: Measured, *, short: bool) -> list[Row]:
    pairs = {"POST /adapt": 20 if short else 60, "GET /predict": 100 if short else 600}
    randomness, rows, stored = random.Random(6), [], 1
    ids = await _in_both(small, large, lambda lines: _first(lines, randomness))
    asks: dict[str, tuple[Ask, Ask]] = {
        "POST /adapt": (lambda: sine_order(randomness),) * 2,
        "GET /predict": tuple(lambda one=one: get_prediction(one, "0.5") for one in ids),
    }
    for size in SIZES_SHORT if short else SIZES:
        say(f"growth, {kind}, {size:,} stored")
        fill(large, ids[1], size - stored)
        stored = size
        for name, ask in asks.items():
            await _in_both(small, large, partial(_in_turn, ask=ask, pairs=10))
            took = await _in_both(small, large, partial(_in_turn, ask=ask, pairs=pairs[name]))
            rows.append(_row(kind, name, size, *took))
    return rows


async def _in_both(
    small: Measured, large: Measured, work: Callable[[Lines], Awaitable[Result]]
) -> Result:
    """The work on new lines to both services: they close what is idle while one is filled."""
    lines = (await connect(small.port), await connect(large.port))
    result = await work(lines)
    for line in lines:
        line.close()
    return result


async def _first(lines: Lines, randomness: random.Random) -> list[str]:
    return [json.loads(await line.ask(sine_order(randomness)))["id"] for line in lines]


def _row(kind: str, name: str, stored: int, small: list[float], large: list[float]) -> Row:
    ratio = round(statistics.median(large) / statistics.median(small), 3)
    return {
        "service": kind,
        "request": name,
        "stored": stored,
        "ratio": ratio,
        **spread("latency_ms", large, scale=1000),
        **spread("latency_with_few_ms", small, scale=1000),
        "pairs": len(small),
        "reached": ratio <= 1 + FLAT_WITHIN,
    }


async def _in_turn(
    lines: Lines, ask: tuple[Ask, Ask], pairs: int
) -> tuple[list[float], list[float]]:
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(2 * pairs):
        side = (number + number // 2) % 2  # small, large, large, small: neither is always second
        request = ask[side]()
        started = time.perf_counter()
        await lines[side].ask(request)
        took[side].append(time.perf_counter() - started)
    return took


if __name__ == "__main__":
    main("service_growth", measure)
