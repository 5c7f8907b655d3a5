"""What has a time to live ends with it; the row stays readable."""

import pytest
from sqlalchemy import Engine

from app.db.adaptations import expire_due, fail, succeed
from app.db.connections import reading, writing
from app.db.lookups import find
from tests.rows.orders import OUTCOME, claimed, events, queue, run, value


def expired(engine: Engine) -> list[str]:
    with writing(engine) as connection:
        return expire_due(connection)


def succeeded(engine: Engine, **changes: object) -> str:
    [mine] = queue(engine, **changes)
    [held] = claimed(engine)
    with writing(engine) as connection:
        succeed(connection, [(held, OUTCOME)])
    return mine


def test_time_to_live_counts_from_the_end(engine: Engine) -> None:
    mine = succeeded(engine, ttl_seconds=500)

    life = value(engine, "expires_at", mine) - value(engine, "finished_at", mine)
    assert life == pytest.approx(500, abs=1)


def test_a_result_past_its_time_expires_once_and_stays_readable(engine: Engine) -> None:
    mine, other = succeeded(engine, ttl_seconds=500), succeeded(engine, ttl_seconds=5000)
    early = expired(engine)
    run(engine, "UPDATE adaptations SET expires_at = expires_at - 1000")

    assert (early, expired(engine), expired(engine)) == ([], [mine], [])
    assert value(engine, "status", other) == "succeeded"
    assert events(engine, mine)[-1] == (4, "expired")
    with reading(engine) as connection:
        row = find(connection, "default", mine)
    assert row is not None
    assert (row.status, row.metrics) == ("expired", OUTCOME.metrics)


def test_without_a_time_to_live_nothing_expires(engine: Engine) -> None:
    mine = succeeded(engine)

    assert value(engine, "expires_at", mine) is None
    assert expired(engine) == []


def test_what_has_not_ended_does_not_expire(engine: Engine) -> None:
    [waiting] = queue(engine, ttl_seconds=1)
    run(engine, "UPDATE adaptations SET created_at = created_at - 1000")
    before = expired(engine)
    claimed(engine)

    assert (before, expired(engine)) == ([], [])
    assert value(engine, "status", waiting) == "running"


def test_another_tenant_finds_nothing(engine: Engine) -> None:
    mine = succeeded(engine)

    with reading(engine) as connection:
        found = [find(connection, tenant, mine) for tenant in ("default", "shared", "nobody")]

    assert [row is not None for row in found] == [True, False, False]


def test_a_failure_keeps_its_reason(engine: Engine) -> None:
    [mine] = queue(engine)
    [held] = claimed(engine)
    with writing(engine) as connection:
        fail(connection, held, code="diverged", detail="too large a step")
        row = find(connection, "default", mine)

    assert row is not None
    assert (row.status, row.error) == (
        "failed",
        {"code": "diverged", "detail": "too large a step"},
    )
    assert row.phi_digest is None
