"""Fills a service's database and blobs as if so many adaptations had been made.

Each row is a copy of one that the service made itself but for its id, its times and its parameters,
which lie in a file of their own and differ in their last number; the support set is one, as equal
ones of a tenant share their blob. Files are written straight under their names and not synced: a
filler needs no promise.
"""

import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert, select, text

from app.db.connections import open_engine, writing
from app.db.tables import adaptations, events
from app.store.blobs import blob_name, digest_of
from app.values.adaptation import new_id
from benchmarks.service.services import Measured

AT_ONCE = 1000
FLOAT_BYTES = 4


def fill(measured: Measured, like: str, many: int) -> list[str]:
    """The ids of so many new succeeded adaptations, copies of the one of this id."""
    engine, folder = open_engine(measured.database_url), measured.data_dir / "blobs"
    ids: list[str] = []
    for start in range(0, many, AT_ONCE):
        ids += _some(engine, folder, like, min(AT_ONCE, many - start), start)
    if many and engine.dialect.name == "postgresql":  # as autovacuum does within a minute
        with writing(engine) as connection:
            connection.execute(text("ANALYZE"))
    engine.dispose()
    os.sync()
    return ids


def _some(engine: Engine, folder: Path, like: str, many: int, start: int) -> list[str]:
    with writing(engine) as connection:
        asked = select(adaptations).where(adaptations.c.id == like)
        row = dict(connection.execute(asked).one()._mapping)
        asked = select(events).where(events.c.adaptation_id == like)
        told = [dict(one._mapping) for one in connection.execute(asked)]
        rows = list(_copies(folder, row, many, start))
        connection.execute(insert(adaptations), rows)
        kept = [one | {"adaptation_id": new["id"]} for new in rows for one in told]
        connection.execute(insert(events), kept)
    return [one["id"] for one in rows]


def _copies(folder: Path, row: dict[str, Any], many: int, start: int) -> Iterator[dict[str, Any]]:
    tenant = row["tenant_id"]
    phi = (folder / blob_name(tenant, row["phi_digest"])).read_bytes()
    for index in range(many):
        ago, other = start + index + 1, _varied(phi, random.gauss(0, 1))
        times = {name: row[name] - ago for name in ("created_at", "queued_at", "started_at")}
        yield (
            row
            | times
            | {
                "id": new_id(),
                "finished_at": row["finished_at"] - ago,
                "phi_digest": _put(folder, tenant, other),
            }
        )


def _varied(blob: bytes, number: float) -> bytes:
    """The same tensors but for the last number: the file ends with float32 data."""
    return blob[:-FLOAT_BYTES] + struct.pack("<f", number)


def _put(folder: Path, tenant: str, data: bytes) -> str:
    digest = digest_of(data)
    (folder / blob_name(tenant, digest)).write_bytes(data)
    return digest
