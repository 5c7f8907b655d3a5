"""Real servers for tests: which are there, and a clean corner of each."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
import redis

POSTGRES = os.environ.get("FEWSTEP_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("FEWSTEP_TEST_REDIS", "redis://127.0.0.1:6379")
RABBITMQ = os.environ.get("FEWSTEP_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")
OWN_REDIS_NUMBERS = range(10, 16)


def require(name: str, url: str) -> None:
    """Goes on if a server listens there; else skips, or fails where servers are demanded."""
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 0)
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex(address) == 0:
            return
    reason = f"{name} does not listen on {address[0]}:{address[1]}"
    if os.environ.get("FEWSTEP_REQUIRE_SERVICES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def fresh_postgres() -> Iterator[str]:
    """The SQLAlchemy URL of an empty database that is dropped afterwards."""
    require("PostgreSQL", POSTGRES)
    name = f"fewstep_test_{uuid4().hex[:12]}"
    with psycopg.connect(POSTGRES, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        try:
            base = POSTGRES.rpartition("/")[0].replace("postgresql://", "postgresql+psycopg://")
            yield f"{base}/{name}"
        finally:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def fresh_redis() -> Iterator[str]:
    """The URL of an empty database number that nobody else's tests use meanwhile."""
    require("Redis", REDIS)
    with _own_redis_number() as number:
        url = f"{REDIS}/{number}"
        with redis.Redis.from_url(url) as client:
            client.flushdb()
            try:
                yield url
            finally:
                client.flushdb()


@contextmanager
def _own_redis_number() -> Iterator[int]:
    for number in OWN_REDIS_NUMBERS:
        lock = Path(tempfile.gettempdir(), f"fewstep-test-redis-{number}.lock")
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield number
            return
    pytest.fail("every Redis database number for tests is taken by another run")
