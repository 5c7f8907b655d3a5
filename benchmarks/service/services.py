"""Services to measure: the product as it is started, on fresh data, embedded or on servers."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import redis

from tests.processes import Service, clean_environment, free_port, stop, wait_until_ready

POSTGRES = os.environ.get("FEWSTEP_BENCH_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("FEWSTEP_BENCH_REDIS", "redis://127.0.0.1:6379")
ROOT = Path(__file__).parents[2]
KINDS = ("embedded", "Redis + PostgreSQL")
OWN_REDIS_NUMBERS = range(2, 10)  # the tests take the others


class NotThere(Exception):
    """A server that this row needs does not answer; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A ready service. database: its own database's name on PostgreSQL, else None."""

    port: int
    folder: Path
    data_dir: Path
    process: subprocess.Popen[bytes]
    database: str | None
    database_url: str
    redis_url: str | None


@contextmanager
def service(kind: str, **variables: str) -> Iterator[Measured]:
    """A service of this kind on empty data, ended and removed afterwards.

    Raises NotThere where PostgreSQL or Redis do not answer.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fewstep-bench-")))
        database = redis_url = None
        database_url = f"sqlite:///{folder / 'data' / 'fewstep.db'}"
        if kind != "embedded":
            database = stack.enter_context(own_database())
            redis_url = stack.enter_context(own_redis())
            database_url = _in_database(POSTGRES, database)
            variables |= {"FEWSTEP_DATABASE_URL": database_url, "FEWSTEP_REDIS_URL": redis_url}
        started = stack.enter_context(_started(folder, variables))
        yield Measured(
            port=int(started.base_url.rpartition(":")[2]),
            folder=folder,
            data_dir=started.data_dir,
            process=started.process,
            database=database,
            database_url=database_url,
            redis_url=redis_url,
        )


@contextmanager
def _started(folder: Path, variables: dict[str, str]) -> Iterator[Service]:
    port, log = free_port(), folder / "serve.log"
    own = {
        "FEWSTEP_DATA_DIR": str(folder / "data"),
        "FEWSTEP_PORT": str(port),
        "FEWSTEP_SHARE_EQUAL_WORK": "false",  # what is sent twice is to be worked out twice
        **variables,
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.service.launcher"],
            env=clean_environment(**own, PYTHONPATH=str(ROOT)),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    started = Service(
        base_url=f"http://127.0.0.1:{port}", process=process, data_dir=folder / "data", log=log
    )
    try:
        wait_until_ready(started)
        yield started
    finally:
        stop(process)


@contextmanager
def own_database() -> Iterator[str]:
    """The name of an empty PostgreSQL database for the block."""
    name = f"fewstep_bench_{uuid4().hex[:12]}"
    try:
        admin = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=2)
    except psycopg.OperationalError:
        raise NotThere("PostgreSQL does not answer at FEWSTEP_BENCH_POSTGRES") from None
    with admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        try:
            yield name
        finally:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def own_redis() -> Iterator[str]:
    """The URL of a Redis database number that was empty, emptied again after the block."""
    for number in OWN_REDIS_NUMBERS:
        url = f"{REDIS}/{number}"
        with redis.Redis.from_url(url, socket_connect_timeout=2) as client:
            try:
                if not client.set("fewstep-bench:taken", 1, nx=True, ex=900):
                    continue
            except redis.RedisError:
                raise NotThere("Redis does not answer at FEWSTEP_BENCH_REDIS") from None
            try:
                yield url
            finally:
                client.flushdb()
            return
    raise NotThere("every Redis database number for benchmarks is taken")


def _in_database(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0].replace('postgresql://', 'postgresql+psycopg://')}/{name}"
