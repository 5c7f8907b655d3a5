"""A worker's bench in this process: real Redis, a database of our own, blobs in a folder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from app.backends import Backends, open_backends
from app.cli.serving.setup import prepare
from app.settings import Settings, read_settings
from models.files.checkpoint import Checkpoint, load_checkpoint
from tests.servers import fresh_postgres
from worker.bench import Bench

CHECKPOINTS = Path(__file__).parents[2] / "models" / "checkpoints"
OpenBench = Callable[..., Bench]


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    """SQLite and blobs in a folder of this test, hints and wake-ups on the local Redis."""
    return read_settings(data_dir=tmp_path, redis_url=redis_url, device="cpu")


@pytest.fixture
def open_bench(settings: Settings) -> Iterator[OpenBench]:
    """Desks with shipped checkpoints in their store; settings are the test's but for changes."""
    opened: list[Backends] = []

    def bench(**changes: Any) -> Bench:
        own = settings.model_copy(update=changes)
        prepare(own)
        opened.append(open_backends(own))
        return Bench(backends=opened[-1], device=torch.device("cpu"), name="w", host="here")

    yield bench
    for backends in opened:
        backends.close()


@pytest.fixture
def bench(open_bench: OpenBench) -> Bench:
    """One such bench."""
    return open_bench()


@pytest.fixture
def postgres_bench(open_bench: OpenBench) -> Iterator[Bench]:
    """The same on PostgreSQL, which takes fewer values than SQLite."""
    with fresh_postgres() as url:
        bench = open_bench(database_url=url)
        yield bench
        bench.backends.engine.dispose()


@pytest.fixture(scope="session")
def sinusoid() -> Checkpoint:
    """The shipped regression checkpoint."""
    return load_checkpoint((CHECKPOINTS / "sinusoid.safetensors").read_bytes())


@pytest.fixture(scope="session")
def omniglot() -> Checkpoint:
    """The shipped five-way one-shot classifier."""
    return load_checkpoint((CHECKPOINTS / "omniglot-5way-1shot.safetensors").read_bytes())
