"""A worker's desk in this process: real Redis, a database of our own, blobs in a folder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from app.backends import Backends, open_backends
from app.cli.serving.setup import prepare
from app.settings import Settings, read_settings
from models.checkpoint import Checkpoint, load_checkpoint
from tests.servers import fresh_postgres
from worker.desk import Desk

CHECKPOINTS = Path(__file__).parents[2] / "models" / "checkpoints"
OpenDesk = Callable[..., Desk]


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    """SQLite and blobs in a folder of this test, hints and wake-ups on the local Redis."""
    return read_settings(data_dir=tmp_path, redis_url=redis_url, device="cpu")


@pytest.fixture
def open_desk(settings: Settings) -> Iterator[OpenDesk]:
    """Desks with shipped checkpoints in their store; settings are the test's but for changes."""
    opened: list[Backends] = []

    def desk(**changes: Any) -> Desk:
        own = settings.model_copy(update=changes)
        prepare(own)
        opened.append(open_backends(own))
        return Desk(backends=opened[-1], device=torch.device("cpu"), name="w", host="here")

    yield desk
    for backends in opened:
        backends.close()


@pytest.fixture
def desk(open_desk: OpenDesk) -> Desk:
    """One such desk."""
    return open_desk()


@pytest.fixture
def postgres_desk(open_desk: OpenDesk) -> Iterator[Desk]:
    """The same on PostgreSQL, which takes fewer values than SQLite."""
    with fresh_postgres() as url:
        desk = open_desk(database_url=url)
        yield desk
        desk.backends.engine.dispose()


@pytest.fixture(scope="session")
def sinusoid() -> Checkpoint:
    """The shipped regression checkpoint."""
    return load_checkpoint((CHECKPOINTS / "sinusoid.safetensors").read_bytes())


@pytest.fixture(scope="session")
def omniglot() -> Checkpoint:
    """The shipped five-way one-shot classifier."""
    return load_checkpoint((CHECKPOINTS / "omniglot-5way-1shot.safetensors").read_bytes())
