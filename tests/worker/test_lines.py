"""What a worker logs names the adaptations it speaks of, and each change of status is a line."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

import worker.batch
import worker.leases
import worker.repairing
from app.db.adaptations import claim
from app.db.connections import writing
from app.errors import ServiceError
from app.logs import OURS
from app.store import StoreUnavailable
from tests.worker.conftest import OpenBench
from tests.worker.orders import look, place
from worker.batch import run_hint
from worker.bench import Bench
from worker.leases import keeping_leases
from worker.repairing import repair
from worker.sweeper import sweep

Said = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Said]:
    """The fields of each line of an event, with what was bound when it was logged."""

    def add_context(record: logging.LogRecord) -> bool:
        vars(record).update({**get_contextvars(), **vars(record)})
        return True

    caplog.handler.addFilter(add_context)
    for name in OURS:  # whatever level another test has set up
        caplog.set_level(logging.DEBUG, logger=name)
    clear_contextvars()
    yield lambda event: [vars(line) for line in caplog.records if line.getMessage() == event]
    caplog.handler.removeFilter(add_context)
    clear_contextvars()


def lose_worker(bench: Bench) -> None:
    with writing(bench.backends.engine) as connection:
        claim(connection, worker="lost", limit=9, lease_s=60, most_example_steps=20_000)
        connection.execute(text("UPDATE adaptations SET lease_until = lease_until - 3600"))


def damage(bench: Bench, digest: str | None) -> None:
    (bench.backends.settings.data_dir / "blobs" / "default" / str(digest)).unlink()


def test_a_batch_is_claimed_in_one_line_and_ends_in_one_for_each_row(
    bench: Bench, said: Said
) -> None:
    mine = [place(bench), place(bench)]

    run_hint(bench, mine[0])

    [claimed] = said("batch claimed")
    ended = said("adaptation ended")
    assert sorted(claimed["adaptation_ids"]) == sorted(mine)
    assert (claimed["status"], claimed["E"], claimed["steps"]) == ("running", 2, 10)
    assert sorted(line["adaptation_id"] for line in ended) == sorted(mine)
    told = [(line["status"], line["E"], line["steps"], line["worker"]) for line in ended]
    assert told == [("succeeded", 2, 10, bench.name)] * 2
    assert all(0 < line["seconds"] < 60 for line in ended)


def test_a_mistake_in_a_batch_is_logged_with_its_rows_and_ends_one_as_failed(
    bench: Bench, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(worker.batch, "adapt_rows", broken)
    mine = place(bench)

    run_hint(bench, mine)

    [failed], [ended] = said("batch failed"), said("adaptation ended")
    assert (failed["adaptation_id"], failed["E"]) == (mine, 1)
    assert failed["exc_info"][0] is RuntimeError
    assert (ended["adaptation_id"], ended["status"]) == (mine, "failed:internal")


def test_rows_given_back_are_named(
    bench: Bench, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(worker.batch, "hot_checkpoint", away)
    mine = place(bench)

    run_hint(bench, mine)

    [line] = said("store unavailable, given back")
    assert (line["adaptation_id"], line["status"]) == (mine, "queued")


def test_the_heartbeats_lines_name_the_batch(
    open_bench: OpenBench, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise ServiceError("unavailable", "the database does not answer")

    monkeypatch.setattr(worker.leases, "extend_leases", away)
    bench = open_bench(heartbeat_s=0.02)
    bind_contextvars(adaptation_ids=["ad_1", "ad_2"])

    with keeping_leases(bench.backends, []):
        deadline = time.monotonic() + 20
        while not said("leases not renewed") and time.monotonic() < deadline:
            time.sleep(0.02)

    line = said("leases not renewed")[0]
    assert (line["adaptation_ids"], line["error"]) == (["ad_1", "ad_2"], "ServiceError")


def test_the_sweeper_names_what_it_recovers_and_what_it_expires(bench: Bench, said: Said) -> None:
    old = place(bench, ttl_seconds=30)
    run_hint(bench, old)
    with writing(bench.backends.engine) as connection:
        connection.execute(text("UPDATE adaptations SET expires_at = expires_at - 60"))
    clear_contextvars()
    lost = place(bench)
    lose_worker(bench)

    sweep(bench.backends)

    assert [line["adaptation_id"] for line in said("recovered from lost workers")] == [lost]
    assert [line["adaptation_id"] for line in said("adaptations expired")] == [old]
    assert [line["adaptation_id"] for line in said("hinted again")] == [lost]


def test_a_repair_says_of_which_row_and_how_it_went(bench: Bench, said: Said) -> None:
    mine = place(bench)
    run_hint(bench, mine)

    damage(bench, look(bench, mine).phi_digest)
    repair(bench, mine)
    damage(bench, look(bench, mine).phi_digest)
    damage(bench, look(bench, mine).support_digest)
    repair(bench, mine)

    [derived], [lost] = (
        said("parameters derived again"),
        said("parameters and support set are lost"),
    )
    assert (derived["adaptation_id"], derived["status"]) == (mine, "succeeded")
    assert (lost["adaptation_id"], lost["status"]) == (mine, "failed")
