"""POST /adapt while forty thousand adaptations fall due at once, beside a quiet service.

python -m benchmarks.service_expiring [--short]
"""

import asyncio
import random
import time
from itertools import count
from typing import Any

from sqlalchemy import create_engine, text

from benchmarks.service.client import drive
from benchmarks.service.figure import (
    Figure,
    Row,
    all_reached,
    command,
    main,
    not_measured,
    quartiles,
    say,
)
from benchmarks.service.orders import sine_order
from benchmarks.service.services import KINDS, Measured, NotThere, service

MOST_MS = 250  # of the slowest, where it was 2,300 with all rows in one transaction


def measure(short: bool) -> Figure:
    due, seconds = (4_000, 4.0) if short else (40_000, 20.0)
    rows = [_row(kind, due, seconds) for kind in KINDS]
    told = ", ".join(f"{one['slowest_ms']} ms {one['service']}" for one in rows if "due" in one)
    return Figure(
        figure="service_expiring",
        title=f"POST /adapt while {due} adaptations expire",
        goal=f"the slowest ≤ {MOST_MS} ms",
        reached=all_reached(rows),
        headline=f"the slowest: {told or 'not measured'}",
        rows=rows,
        command=command("service_expiring", short),
    )


def _row(kind: str, due: int, seconds: float) -> Row:
    say(f"{due} rows fall due, {kind}")
    try:
        with service(kind) as measured:
            _latencies(measured, 2)
            quiet = _latencies(measured, seconds / 2)
            left = _let_fall_due(measured, due)
            latencies = _latencies(measured, seconds)
            still = left()
    except NotThere as why:
        return not_measured(kind, why)
    slowest = round(max(latencies) * 1000, 1)
    return {
        "service": kind,
        "due": due,
        "quiet_ms": quartiles(quiet, scale=1000, digits=1)[1],
        "quiet_slowest_ms": round(max(quiet) * 1000, 1),
        "while_expiring_ms": quartiles(latencies, scale=1000, digits=1)[1],
        "slowest_ms": slowest,
        "still_due": still,
        "reached": slowest <= MOST_MS,
    }


def _latencies(measured: Measured, seconds: float) -> list[float]:
    randomness = random.Random(time.time_ns())
    orders = (sine_order(randomness) for _ in count())
    return asyncio.run(drive(measured.port, orders, clients=1, seconds=seconds))


def _let_fall_due(measured: Measured, due: int) -> Any:
    """Copies a succeeded row so many times, all past their time; gives what counts those left."""
    engine = create_engine(measured.database_url or f"sqlite:///{measured.database}")
    with engine.begin() as connection:
        [*columns] = connection.execute(text("SELECT * FROM adaptations LIMIT 1")).keys()
        names = ", ".join(f'"{one}"' for one in columns if one not in ("id", "expires_at"))
        numbers = (
            "WITH RECURSIVE one(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM one WHERE i < :due) "
            "SELECT i FROM one"
        )
        copied = (
            f"INSERT INTO adaptations (id, expires_at, {names}) "
            f"SELECT 'due_' || n.i, 1, {names} FROM (SELECT * FROM adaptations "
            f"WHERE status = 'succeeded' LIMIT 1) AS a, ({numbers}) AS n"
        )
        connection.execute(text(copied), {"due": due})

    def left() -> int:
        with engine.begin() as connection:
            query = "SELECT count(*) FROM adaptations WHERE status = 'succeeded' AND expires_at = 1"
            found: int = connection.execute(text(query)).scalar_one()
        engine.dispose()
        return found

    return left


if __name__ == "__main__":
    main("service_expiring", measure)
