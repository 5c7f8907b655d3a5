"""What several processes write at once is written once, and none of them is refused."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import sha256
from threading import Barrier
from typing import TypeVar

import pytest
from sqlalchemy import Connection, Engine

from app.db.checkpoints import add_version
from app.db.connections import open_engine, reading, writing
from app.db.keys import create_key, ensure_bootstrap_key
from app.db.tenants import ensure_tenant
from app.db.workers import announce
from app.values.adaptation import CheckpointRef
from tests.rows.orders import run
from tests.rows.versions import described

T = TypeVar("T")
PROCESSES = 8
ROUNDS = 10
SECRET = "fs_" + "0123456789abcdef" * 3


@pytest.fixture
def engines(engine: Engine, migrated_url: str) -> Iterator[list[Engine]]:
    """One engine for each process, connected."""
    with ExitStack() as stack:
        opened = [open_engine(migrated_url) for _ in range(PROCESSES)]
        for own in opened:
            stack.callback(own.dispose)
            with reading(own):
                pass
        yield opened


def at_once(engines: list[Engine], work: Callable[[Engine, int], T]) -> list[T]:
    """What the work gives to each process, all having begun together."""
    start = Barrier(len(engines))

    def begin(number: int) -> T:
        start.wait()
        return work(engines[number], number)

    with ThreadPoolExecutor(len(engines)) as pool:
        return list(pool.map(begin, range(len(engines))))


def written(work: Callable[[Connection, int], T]) -> Callable[[Engine, int], T]:
    """The work in a transaction of its own."""

    def write(engine: Engine, number: int) -> T:
        with writing(engine) as connection:
            return work(connection, number)

    return write


def version(connection: Connection, content: str, *, name: str) -> CheckpointRef:
    """The version of the new tenant's checkpoint that has this content."""
    digest = sha256(content.encode()).hexdigest()
    return add_version(connection, "new", digest, 1, 1, described(name))[0].ref


def test_a_tenant_that_all_add_is_there_once(engines: list[Engine]) -> None:
    for number in range(ROUNDS):
        name = f"new_{number}"
        at_once(engines, written(lambda connection, _, name=name: ensure_tenant(connection, name)))

    names = run(engines[0], "SELECT id FROM tenants WHERE id LIKE 'new%' ORDER BY id")
    assert [name for (name,) in names] == sorted(f"new_{number}" for number in range(ROUNDS))


def test_keys_of_a_new_tenant_are_all_created(engines: list[Engine]) -> None:
    secrets = at_once(
        engines, written(lambda connection, _: create_key(connection, tenant_id="new", name=""))
    )

    assert len(set(secrets)) == PROCESSES
    assert run(engines[0], "SELECT count(*) FROM api_keys") == [(PROCESSES,)]


def test_different_files_of_one_name_get_consecutive_versions(engines: list[Engine]) -> None:
    for number in range(ROUNDS):
        name = f"c{number}"
        refs = at_once(
            engines,
            written(lambda connection, n, name=name: version(connection, f"{name} {n}", name=name)),
        )

        assert sorted(ref.version for ref in refs) == list(range(1, PROCESSES + 1))
        kept = run(engines[0], "SELECT version, digest FROM checkpoints WHERE name = :n", n=name)
        assert {(ref.version, ref.digest) for ref in refs} == set(map(tuple, kept))


def test_the_same_file_is_one_version(engines: list[Engine]) -> None:
    for number in range(ROUNDS):
        name = f"c{number}"
        refs = at_once(
            engines, written(lambda connection, _, name=name: version(connection, name, name=name))
        )

        assert {ref.version for ref in refs} == {1}
        assert run(engines[0], "SELECT count(*) FROM checkpoints WHERE name = :n", n=name) == [(1,)]


def test_the_bootstrap_key_of_services_that_start_at_once_is_made_once(
    engines: list[Engine],
) -> None:
    for number in range(ROUNDS):
        secret = SECRET + str(number)
        at_once(engines, lambda engine, _, secret=secret: ensure_bootstrap_key(engine, secret))

    assert run(engines[0], "SELECT count(*) FROM api_keys") == [(ROUNDS,)]


def test_a_worker_announced_twice_at_once_is_there_once(engines: list[Engine]) -> None:
    for number in range(ROUNDS):
        name = f"worker-{number}"
        at_once(
            engines,
            written(
                lambda connection, _, name=name: announce(connection, name, host="h", device="d")
            ),
        )

    assert run(engines[0], "SELECT count(*), count(DISTINCT id) FROM workers") == [(ROUNDS, ROUNDS)]
