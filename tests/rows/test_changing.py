"""Lists by what adaptations are, and changes of them, on both databases."""

import time

import pytest
from sqlalchemy import Engine, text

from app.db import changing
from app.db.connections import writing
from app.db.listing import list_adaptations
from app.db.lookups import find
from app.values.adaptation import Adaptation
from app.values.filters import Filters
from app.values.lifecycle import Status
from tests.rows.orders import queue, run


def listed(
    engine: Engine,
    *,
    tenant: str = "default",
    after: tuple[float, str] | None = None,
    limit: int = 100,
    **filters: object,
) -> list[Adaptation]:
    with engine.begin() as connection:
        rows = list_adaptations(
            connection,
            tenant,
            Filters(**filters),  # type: ignore[arg-type]
            after=after,
            limit=limit,
        )
    return list(rows)


def ids(rows: list[Adaptation]) -> list[str]:
    return [row.id for row in rows]


def test_a_list_is_newest_first_and_stable_under_inserts(engine: Engine) -> None:
    made = queue(engine, 5)
    run(engine, "UPDATE adaptations SET created_at = 1000")  # all at once: ids decide
    order = sorted(made, reverse=True)
    first = listed(engine, limit=2)
    queue(engine, 2)

    rest = listed(engine, after=(first[-1].created_at, first[-1].id))

    assert ids(first) == order[:2]
    assert ids(rest) == order[2:]


def test_every_filter_holds(engine: Engine) -> None:
    plain, tagged = queue(engine, 2)
    values = {"id": tagged, "metadata": '{"user": "42", "a\\"b": "x", "it\'s": "y"}'}
    run(engine, "UPDATE adaptations SET metadata = :metadata WHERE id = :id", **values)
    run(engine, "UPDATE adaptations SET checkpoint_version = 7 WHERE id = :id", id=plain)
    name = listed(engine)[0].checkpoint.name

    assert ids(listed(engine, metadata={"user": "42"})) == [tagged]
    assert ids(listed(engine, metadata={"user": "42", 'a"b': "x", "it's": "y"})) == [tagged]
    assert listed(engine, metadata={"user": "43"}) == []
    assert listed(engine, metadata={"": "42"}) == []
    assert ids(listed(engine, checkpoint_name=name, checkpoint_version=7)) == [plain]
    assert len(listed(engine, checkpoint_name=name)) == 2
    assert listed(engine, checkpoint_name="other") == []
    assert len(listed(engine, status=Status.QUEUED)) == 2
    assert listed(engine, tenant="shared") == []


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_a_row_past_its_time_is_listed_as_expired_before_the_sweeper_comes(
    engine: Engine, status: str
) -> None:
    due, lasting = queue(engine, 2)
    run(engine, "UPDATE adaptations SET status = :status", status=status)
    run(engine, "UPDATE adaptations SET expires_at = 1 WHERE id = :id", id=due)

    assert ids(listed(engine, status=Status.EXPIRED)) == [due]
    assert ids(listed(engine, status=Status(status))) == [lasting]
    assert {row.id: row.status for row in listed(engine)}[due] is Status.EXPIRED
    with engine.begin() as connection:
        found = find(connection, "default", due)
    assert found is not None
    assert found.status is Status.EXPIRED


def test_a_time_to_live_counts_from_now_once_it_has_ended(engine: Engine) -> None:
    waiting, ended = queue(engine, 2)
    run(engine, "UPDATE adaptations SET status = 'succeeded' WHERE id = :id", id=ended)

    for one in (waiting, ended):
        assert changed(engine, one, ttl_seconds=60)

    rows = {row.id: row for row in listed(engine)}
    assert rows[waiting].expires_at is None
    assert rows[waiting].ttl_seconds == 60
    assert rows[ended].expires_at == pytest.approx(time.time() + 60, abs=5)
    assert changed(engine, ended, ttl_seconds=None)
    assert {row.id: row for row in listed(engine)}[ended].expires_at is None


@pytest.mark.parametrize("how", ["status = 'expired'", "status = 'succeeded', expires_at = 1"])
def test_what_has_expired_is_not_revived(engine: Engine, how: str) -> None:
    [mine] = queue(engine, 1)
    run(engine, f"UPDATE adaptations SET {how}")

    assert not changed(engine, mine, ttl_seconds=60)

    assert listed(engine)[0].status is Status.EXPIRED


def test_only_its_tenant_changes_cancels_or_removes_it(engine: Engine) -> None:
    [mine] = queue(engine, 1)

    with writing(engine) as connection:
        assert not changing.change(connection, "shared", mine, {"name": "x"})
        assert not changing.cancel(connection, "shared", mine)
        assert not changing.remove(connection, "shared", mine)

    assert listed(engine)[0].status is Status.QUEUED


def test_what_is_removed_takes_its_events_and_keys_with_it(engine: Engine) -> None:
    [mine] = queue(engine, 1)
    key = "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, adaptation_id, created_at)"
    run(engine, f"{key} VALUES ('default', 'k', 'f', :id, 0)", id=mine)

    with writing(engine) as connection:
        assert changing.remove(connection, "default", mine)

    for table in ("adaptations", "events", "idempotency_keys"):
        with engine.begin() as connection:
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0


def changed(engine: Engine, adaptation_id: str, **values: object) -> bool:
    with writing(engine) as connection:
        return changing.change(connection, "default", adaptation_id, values)
