"""An idempotency key is bound to one row, in that row's own transaction."""

import threading

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.exc import IntegrityError

from app.db.adaptations import insert_queued
from app.db.connections import reading, writing
from app.db.idempotency import find_replay, forget_keys, keep_key
from app.db.tables import idempotency_keys
from app.db.tenants import ensure_tenant
from tests.rows.orders import new_order, run

KEY = "retry-1"


def accept(engine: Engine, *, fingerprint: str = "a" * 64, tenant_id: str = "default") -> str:
    """A new row under the key; its id."""
    order = new_order(tenant_id=tenant_id)
    with writing(engine) as connection:
        insert_queued(connection, order)
        keep_key(connection, tenant_id, key=KEY, fingerprint=fingerprint, adaptation_id=order.id)
    return order.id


def kept(engine: Engine, tenant_id: str = "default") -> tuple[str, str] | None:
    with reading(engine) as connection:
        found = find_replay(connection, tenant_id, KEY)
    return None if found is None else (found.fingerprint, str(found.adaptation_id))


def test_a_key_leads_to_the_row_that_it_made(engine: Engine) -> None:
    first = accept(engine)

    assert kept(engine) == ("a" * 64, first)


def test_a_key_used_again_takes_the_second_row_back(engine: Engine) -> None:
    first = accept(engine)

    with pytest.raises(IntegrityError):
        accept(engine, fingerprint="b" * 64)

    assert kept(engine) == ("a" * 64, first)
    assert run(engine, "SELECT id FROM adaptations") == [(first,)]
    assert run(engine, "SELECT count(*) FROM events") == [(1,)]


def test_the_same_key_twice_at_once_gives_one_row(engine: Engine) -> None:
    made: list[str] = []
    refused: list[IntegrityError] = []
    start = threading.Barrier(6)

    def work() -> None:
        start.wait()
        try:
            made.append(accept(engine))
        except IntegrityError as error:
            refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(made), len(refused)) == (1, 5)
    assert run(engine, "SELECT id FROM adaptations") == [(made[0],)]


def test_tenants_do_not_share_keys(engine: Engine) -> None:
    with writing(engine) as connection:
        ensure_tenant(connection, "other")
    first = accept(engine)

    second = accept(engine, fingerprint="b" * 64, tenant_id="other")

    assert kept(engine) == ("a" * 64, first)
    assert kept(engine, "other") == ("b" * 64, second)


def test_a_key_is_forgotten_after_a_day(engine: Engine) -> None:
    accept(engine)
    run(engine, "UPDATE idempotency_keys SET created_at = created_at - 23 * 3600")
    young = kept(engine)
    run(engine, "UPDATE idempotency_keys SET created_at = created_at - 2 * 3600")

    assert young is not None
    assert kept(engine) is None
    second = accept(engine, fingerprint="b" * 64)
    assert kept(engine) == ("b" * 64, second)


def test_keys_are_forgotten_when_their_day_is_over(engine: Engine) -> None:
    accept(engine)
    with writing(engine) as connection:
        assert forget_keys(connection) == 0
        connection.execute(
            update(idempotency_keys).values(created_at=idempotency_keys.c.created_at - 86_401)
        )

    with writing(engine) as connection:
        assert forget_keys(connection) == 1

    assert run(engine, "SELECT count(*) FROM idempotency_keys") == [(0,)]
    assert run(engine, "SELECT count(*) FROM adaptations") == [(1,)]
