"""Memory of a hot adaptation, and what a stored one occupies on disk, beside its own bytes.

    python -m benchmarks.service_memory [--short]

Adaptations are made and asked once each. Memory: growth of the API process's private pages from the
first hundred on; disk: growth of the blobs' folder, in blocks, and of the database.
"""

import asyncio
import json
import random
import sqlite3
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.service.client import drive, get_prediction
from benchmarks.service.figure import Figure, Row, all_reached, command, main, say
from benchmarks.service.orders import (
    NUMBERS,
    PICTURES,
    checkpoint,
    data_url,
    drawings,
    picture_order,
    picture_support,
    picture_work,
    sine_order,
)
from benchmarks.service.processes import bytes_on_disk, resident_bytes
from benchmarks.service.services import Measured, service
from worker.stacking import adapt_rows

FACTOR, CONSTANT = 1.2, 4096
MAKERS, ASKERS, WARM_UP = 32, 10, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Bytes at one moment."""

    memory: int
    blobs: int
    blobs_blocks: int
    database: int


def measure(short: bool) -> Figure:
    rows = [_row("number", 200 if short else 2000)]
    if not short:
        rows.append(_row("picture", 1000))
    told = "; ".join(
        f"{row['input']}: memory {row['memory_kB']} kB, disk {row['disk_kB']} kB of"
        f" {row['allowed_kB']} kB"
        for row in rows
    )
    return Figure(
        figure="service_memory",
        title="Memory and disk per adaptation",
        goal="each ≤ 1.2 × (φ + statistics + the support as it came) + 4 kB",
        reached=all_reached(rows),
        headline=told,
        rows=rows,
        command=command("service_memory", short),
    )


def _row(given: str, many: int) -> Row:
    say(f"memory and disk, {many} × {given}")
    with service("embedded", FEWSTEP_PHI_CACHE_MIB="2048") as measured:
        asyncio.run(_make_and_ask(measured.port, given, WARM_UP, seed=1))
        before = _sizes(measured)
        asyncio.run(_make_and_ask(measured.port, given, many, seed=2))
        after = _sizes(measured)
    own, came = _own_bytes(given)
    allowed = FACTOR * (own + came) + CONSTANT
    memory = (after.memory - before.memory) / many
    database = (after.database - before.database) / many
    blobs = (after.blobs - before.blobs) / many
    blocks = (after.blobs_blocks - before.blobs_blocks) / many
    return {
        "service": "embedded",
        "input": given,
        "adaptations": many,
        "phi_and_statistics_kB": _kB(own),
        "support_as_it_came_kB": _kB(came),
        "allowed_kB": _kB(allowed),
        "memory_kB": _kB(memory),
        "disk_kB": _kB(blobs + database),
        "disk_in_blocks_kB": _kB(blocks + database),
        "blobs_kB": _kB(blobs),
        "database_kB": _kB(database),
        "memory_reached": memory <= allowed,
        "disk_reached": blobs + database <= allowed,
        "reached": memory <= allowed and blobs + database <= allowed,
    }


def _kB(count: float) -> float:
    return round(count / 1000, 2)


async def _make_and_ask(port: int, given: str, many: int, *, seed: int) -> None:
    randomness = random.Random(seed)
    orders = (
        sine_order(randomness) if given == "number" else picture_order(picture_support(randomness))
        for _ in range(many)
    )
    ids: list[str] = []
    await drive(
        port, orders, clients=MAKERS, answered=lambda body: ids.append(json.loads(body)["id"])
    )
    asked = "0.5" if given == "number" else data_url(next(iter(drawings().values()))[0])
    await drive(port, [get_prediction(one, asked) for one in ids], clients=ASKERS)


def _sizes(measured: Measured) -> Sizes:
    database = measured.data_dir / "fewstep.db"
    with sqlite3.connect(database) as connection:  # what waits in the log goes to its place
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    length, blocks = bytes_on_disk(measured.data_dir / "blobs")
    return Sizes(
        memory=resident_bytes(measured.process.pid),
        blobs=length,
        blobs_blocks=blocks,
        database=database.stat().st_size,
    )


def _own_bytes(given: str) -> tuple[int, int]:
    """Bytes of φ and its statistics, and of the support as a client has it (files, float32)."""
    randomness = random.Random(2)
    if given == "number":
        learned, support_bytes = checkpoint(NUMBERS), 5 * 2 * 4
        return sum(tensor.nbytes for tensor in learned.meta.theta.values()), support_bytes
    support = picture_support(randomness)
    (adapted,) = _adapted(support)
    tensors = (*adapted.params.values(), *adapted.statistics.values())
    return sum(tensor.nbytes for tensor in tensors), sum(len(one) for _, one in support)


def _adapted(support: list[tuple[str, bytes]]) -> Any:
    return adapt_rows(
        checkpoint(PICTURES),
        [picture_work(support)],
        outputs=5,
        steps=1,
        device=torch.device("cpu"),
    )


if __name__ == "__main__":
    main("service_memory", measure)
