"""Fills a service's database and blobs as if so many adaptations had been made.

Each row is a copy of one that the service made itself but for its id, its times and its blobs, and
each has blobs of its own: a support set, and parameters that differ in one number. Nothing is
synced: a filler needs no promise.
"""

import os
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import torch
from sqlalchemy import Engine, insert, select

from app.adaptation import new_id
from app.codec import pack_arrays, unpack_arrays
from app.db.engine import open_engine, writing
from app.db.tables import adaptations, events
from app.store import BlobStore, open_store
from benchmarks.service.services import Measured
from models.adapted_file import AdaptedFile, dump_adapted, load_adapted
from models.inner_loop import Adapted

AT_ONCE = 1000


def fill(measured: Measured, like: str, many: int) -> list[str]:
    """The ids of so many new succeeded adaptations, copies of the one of this id."""
    engine = open_engine(measured.database_url)
    store = open_store(f"file://{measured.data_dir / 'blobs'}")
    ids: list[str] = []
    with patch("os.fsync", lambda descriptor: None):
        for start in range(0, many, AT_ONCE):
            ids += _some(engine, store, like, min(AT_ONCE, many - start), start)
    engine.dispose()
    os.sync()
    return ids


def _some(engine: Engine, store: BlobStore, like: str, many: int, start: int) -> list[str]:
    with writing(engine) as connection:
        asked = select(adaptations).where(adaptations.c.id == like)
        row = dict(connection.execute(asked).one()._mapping)
        asked = select(events).where(events.c.adaptation_id == like)
        told = [dict(one._mapping) for one in connection.execute(asked)]
        rows = list(_copies(store, row, many, start))
        connection.execute(insert(adaptations), rows)
        kept = [one | {"adaptation_id": new["id"]} for new in rows for one in told]
        connection.execute(insert(events), kept)
    return [one["id"] for one in rows]


def _copies(
    store: BlobStore, row: dict[str, Any], many: int, start: int
) -> Iterator[dict[str, Any]]:
    tenant = row["tenant_id"]
    support = unpack_arrays(store.get(tenant, row["support_digest"]))
    phi = load_adapted(store.get(tenant, row["phi_digest"]))
    unique = torch.randn(many).tolist()
    for index, number in enumerate(unique):
        x = support["x"].copy()
        x.flat[0] = number
        ago = start + index + 1
        times = {name: row[name] - ago for name in ("created_at", "queued_at", "started_at")}
        yield (
            row
            | times
            | {
                "id": new_id(),
                "finished_at": row["finished_at"] - ago,
                "support_digest": store.put(tenant, pack_arrays(x=x, y=support["y"])),
                "phi_digest": store.put(tenant, _varied(phi, number)),
            }
        )


def _varied(phi: AdaptedFile, number: float) -> bytes:
    name = next(iter(phi.params))
    changed = phi.params[name].clone()
    changed.view(-1)[0] = number
    adapted = Adapted(
        params=phi.params | {name: changed}, statistics=phi.statistics, losses=torch.zeros(1)
    )
    about = {k: v for k, v in phi.description.items() if k not in ("format", "format_version")}
    return dump_adapted(adapted, about)
