"""Nothing that ended stays on disk, and nothing that is needed leaves it."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from app.adaptations.changing import cancel_adaptation, delete_adaptation
from app.adaptations.finding import find_adaptation
from app.adaptations.placing import place_order
from app.db.connections import writing
from app.db.tenants import change_tenant, ensure_tenant, mark_deleted
from app.errors import ServiceError
from app.store import BlobMissing
from app.store.files import FileStore
from app.values.adaptation import new_id
from tests.worker.conftest import OpenBench
from tests.worker.orders import look, order_of, place, sine_points
from worker.batch import run_hint
from worker.bench import Bench
from worker.freeing import free
from worker.sweeper import sweep


@pytest.fixture(params=["sqlite", "postgres"])
def bench(request: pytest.FixtureRequest, open_bench: OpenBench) -> Bench:
    """Blobs are freed as soon as nothing refers to them."""
    if request.param == "sqlite":
        return open_bench(grace_s=0)
    url: str = request.getfixturevalue("postgres_url")
    return open_bench(grace_s=0, database_url=url)


def files(bench: Bench, tenant: str = "default") -> int:
    folder = Path(bench.backends.settings.data_dir) / "blobs" / tenant
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def rows(bench: Bench, table: str = "adaptations") -> int:
    with bench.backends.engine.begin() as connection:
        found: int = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        return found


def change(bench: Bench, statement: str) -> None:
    with bench.backends.engine.begin() as connection:
        connection.execute(text(statement))


def ended(bench: Bench, seed: int, **changes: object) -> str:
    """An adaptation that succeeded, of points of its own: two blobs."""
    x, y = sine_points(seed)
    mine = place(bench, support_inputs=x.tolist(), support_targets=y.tolist(), **changes)
    run_hint(bench, mine)
    assert look(bench, mine).status == "succeeded"
    return mine


def test_a_deleted_one_leaves_no_blob_and_no_row(bench: Bench) -> None:
    x, y = sine_points(3)
    mine = ended(bench, 1, query=(x.tolist(), y.tolist()))
    assert files(bench) == 3

    delete_adaptation(bench.backends, "default", mine)
    free(bench.backends)

    assert (files(bench), rows(bench), rows(bench, "events")) == (0, 0, 0)
    assert files(bench, "shared") > 0


def test_an_expired_one_leaves_its_row_alone(bench: Bench) -> None:
    mine = ended(bench, 1, ttl_seconds=100)
    change(bench, "UPDATE adaptations SET expires_at = expires_at - 1000")

    sweep(bench.backends)
    free(bench.backends)

    assert files(bench) == 0
    assert look(bench, mine).status == "expired"


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_what_has_no_result_keeps_no_blob(bench: Bench, how: str) -> None:
    mine = place(bench)
    if how == "cancelled":
        cancel_adaptation(bench.backends, "default", mine)
    change(bench, f"UPDATE adaptations SET status = '{how}'")

    free(bench.backends)

    assert files(bench) == 0


def test_what_is_needed_stays(bench: Bench) -> None:
    kept = ended(bench, 2)
    waiting = place(bench)

    assert free(bench.backends) == 0

    assert files(bench) == 3
    run_hint(bench, waiting)
    assert look(bench, waiting).status == "succeeded"
    assert bench.backends.store.get("default", str(look(bench, kept).phi_digest))


def test_what_two_share_stays_until_the_last_of_them_goes(bench: Bench) -> None:
    first, second = ended(bench, 1, name="a"), ended(bench, 1, name="b")
    assert files(bench) == 2

    delete_adaptation(bench.backends, "default", first)
    assert free(bench.backends) == 0
    delete_adaptation(bench.backends, "default", second)

    assert free(bench.backends) == 2
    assert files(bench) == 0


def test_within_the_grace_everything_stays(open_bench: OpenBench) -> None:
    bench = open_bench(grace_s=3600)
    delete_adaptation(bench.backends, "default", ended(bench, 1))

    assert free(bench.backends) == 0
    assert files(bench) == 2


def test_an_answer_that_was_taken_from_before_keeps_its_phi(open_bench: OpenBench) -> None:
    bench = open_bench(grace_s=1)
    first = ended(bench, 1)
    time.sleep(1.2)
    second = ended(bench, 1)
    delete_adaptation(bench.backends, "default", first)

    free(bench.backends)

    assert bench.backends.store.get("default", str(look(bench, second).phi_digest))


def test_old_rows_go_with_their_events_and_living_ones_stay(bench: Bench) -> None:
    old, expired, living = ended(bench, 1), ended(bench, 2, ttl_seconds=50), ended(bench, 3)
    change(bench, f"UPDATE adaptations SET status = 'failed' WHERE id = '{old}'")
    change(bench, f"UPDATE adaptations SET status = 'expired' WHERE id = '{expired}'")
    change(bench, "UPDATE adaptations SET finished_at = finished_at - 31 * 86400")

    free(bench.backends)

    assert rows(bench) == 2  # the expired one lived until now
    change(bench, "UPDATE adaptations SET expires_at = expires_at - 31 * 86400")
    free(bench.backends)
    assert rows(bench) == 1
    assert look(bench, living).status == "succeeded"
    assert rows(bench, "events") == 3


def test_a_support_set_is_let_go_when_its_tenant_says_so(bench: Bench) -> None:
    mine = ended(bench, 1)
    with writing(bench.backends.engine) as connection:
        change_tenant(connection, "default", {"support_retention_seconds": 0})

    free(bench.backends)

    row = look(bench, mine)
    assert row.status == "succeeded"
    assert row.support_forgotten_at is not None
    assert files(bench) == 1
    assert bench.backends.store.get("default", str(row.phi_digest))
    with pytest.raises(BlobMissing):
        bench.backends.store.get("default", row.support_digest)
    extending = order_of(checkpoint=None, extends=mine)
    with pytest.raises(ServiceError, match="conflict"):
        place_order(bench.backends, extending, new_id())


def test_a_deleted_tenant_leaves_nothing(bench: Bench) -> None:
    with writing(bench.backends.engine) as connection:
        ensure_tenant(connection, "acme")
    theirs = place(bench, tenant_id="acme")
    run_hint(bench, theirs)
    assert find_adaptation(bench.backends, "acme", theirs).status == "succeeded"
    assert files(bench, "acme") == 2

    with writing(bench.backends.engine) as connection:
        mark_deleted(connection, "acme")
    sweep(bench.backends)
    free(bench.backends)

    assert (files(bench, "acme"), rows(bench)) == (0, 0)


def test_one_sweeper_frees_at_a_time(bench: Bench) -> None:
    delete_adaptation(bench.backends, "default", ended(bench, 1))
    bench.backends.queue.redis.set("fewstep:freeing", 1)

    assert free(bench.backends) == 0
    assert files(bench) == 2


def test_a_blob_that_is_put_while_it_is_freed_is_there_afterwards(tmp_path: Path) -> None:
    store, stop, lost = FileStore(tmp_path), threading.Event(), list[int]()
    digest = store.put("acme", b"shared")

    def freeing() -> None:
        while not stop.is_set():
            store.free("acme", digest, older_than_s=5)

    threads = [threading.Thread(target=freeing) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(300):
        with suppress(FileNotFoundError):
            os.utime(tmp_path / "acme" / digest, (1, 1))  # long ago
        store.put("acme", b"shared")
        if not store.exists("acme", digest) and not _soon_there(store, digest):
            lost.append(number)
    stop.set()
    for thread in threads:
        thread.join()

    assert lost == []


def _soon_there(store: FileStore, digest: str) -> bool:
    """Whether it is back after the moment in which its age was looked at."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        if store.exists("acme", digest):
            return True
    return False
