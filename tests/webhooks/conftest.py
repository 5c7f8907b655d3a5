"""A dispatcher in this process, on each kind of database, and adaptations whose end is owed."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.backends import Backends, open_backends
from app.db.connections import writing
from app.db.deliveries import list_deliveries
from app.db.migrating import migrate
from app.db.tenants import ensure_tenant
from app.settings import read_settings
from app.values.delivery import Delivery
from worker.webhooks import Dispatcher, dispatch

Dispatching = Callable[..., AbstractContextManager[Dispatcher]]


@pytest.fixture
def open_bench(database_url: str, tmp_path: Path) -> Iterator[Callable[..., Backends]]:
    """Backends without a Redis, which no delivery needs; loopback may be called."""
    opened: list[Backends] = []

    def bench(**changes: Any) -> Backends:
        own = {"webhook_networks": "127.0.0.0/8", "webhook_timeout_s": 1} | changes
        settings = read_settings(
            data_dir=tmp_path, database_url=database_url, redis_url="redis://127.0.0.1:1", **own
        )
        migrate(database_url)
        opened.append(open_backends(settings))
        with writing(opened[-1].engine) as connection:
            for tenant in ("default", "shared", "other"):
                ensure_tenant(connection, tenant)
        return opened[-1]

    yield bench
    for backends in opened:
        backends.close()


@contextmanager
def dispatching(dispatcher: Dispatcher) -> Iterator[Dispatcher]:
    """The dispatcher at work in a thread."""
    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(dispatch(dispatcher, stop)))
    thread.start()
    yield dispatcher
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def owed(backends: Backends, adaptation_id: str) -> list[Delivery]:
    with writing(backends.engine) as connection:
        return list_deliveries(connection, adaptation_id)
