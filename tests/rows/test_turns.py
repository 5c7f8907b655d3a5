"""Tenants take turns: many waiting rows of one delay another's by about one batch."""

import time

from sqlalchemy import Engine

from app.db.connections import writing
from app.db.tenants import ensure_tenant
from tests.rows.orders import claimed, new_order, queue, run


def with_tenants(engine: Engine, *names: str) -> None:
    with writing(engine) as connection:
        for name in names:
            ensure_tenant(connection, name)


def test_one_row_of_a_quiet_tenant_goes_into_the_next_batch_or_the_one_after(
    engine: Engine,
) -> None:
    with_tenants(engine, "loud", "quiet")
    queue(engine, 200, tenant_id="loud", batch_key="theirs")
    claimed(engine, limit=32)
    [mine] = queue(engine, 1, tenant_id="quiet", batch_key="mine")

    batches = [{one.id for one in claimed(engine, limit=32)} for _ in range(2)]

    assert any(mine in batch for batch in batches)


def test_a_batch_of_rows_alike_has_places_for_both(engine: Engine) -> None:
    with_tenants(engine, "loud", "quiet")
    queue(engine, 200, tenant_id="loud")
    mine = set(queue(engine, 5, tenant_id="quiet"))

    batch = claimed(engine, limit=32)

    assert mine <= {one.id for one in batch}
    assert len(batch) == 32


def test_tenants_that_all_have_much_go_round(engine: Engine) -> None:
    names = ("a", "b", "c")
    with_tenants(engine, *names)
    for name in names:
        queue(engine, 40, tenant_id=name, batch_key=name)

    turns = [{one.tenant_id for one in claimed(engine, limit=10)} for _ in range(6)]

    assert turns == [{"a"}, {"b"}, {"c"}] * 2


def test_who_can_go_only_later_holds_nobody_up(engine: Engine) -> None:
    with_tenants(engine, "paused", "ready")
    queue(engine, 3, tenant_id="paused")
    run(engine, "UPDATE adaptations SET queued_at = queued_at + 5000")
    [mine] = queue(engine, 1, tenant_id="ready")

    assert [one.id for one in claimed(engine)] == [mine]
    assert claimed(engine) == []


def test_a_claim_among_ten_thousand_rows_takes_no_longer_than_among_ten(engine: Engine) -> None:
    with_tenants(engine, "loud", "quiet")
    queue(engine, 10, tenant_id="loud")
    queue(engine, 10, tenant_id="quiet")
    few = seconds_of_a_claim(engine)
    order = new_order(tenant_id="loud")
    queue(engine, 1, tenant_id="loud", id=order.id)
    columns = [row[0] for row in run(engine, COLUMNS[engine.dialect.name])]
    names = ", ".join(f'"{one}"' for one in columns if one != "id")
    copied = f"INSERT INTO adaptations (id, {names}) SELECT n.i || id, {names} FROM adaptations, "
    run(engine, f"{copied} ({NUMBERS}) AS n WHERE id = :id", id=order.id)

    many = seconds_of_a_claim(engine)

    assert many < few + 0.05


NUMBERS = (
    "WITH RECURSIVE one(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM one WHERE i < 9999) "
    "SELECT CAST(i AS VARCHAR(5)) AS i FROM one"
)
COLUMNS = {
    "sqlite": "SELECT name FROM pragma_table_info('adaptations')",
    "postgresql": "SELECT column_name FROM information_schema.columns "
    "WHERE table_name = 'adaptations'",
}


def seconds_of_a_claim(engine: Engine) -> float:
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        claimed(engine, limit=2)
        taken.append(time.perf_counter() - started)
    return min(taken)
