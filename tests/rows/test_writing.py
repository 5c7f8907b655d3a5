"""Writers of one process come one after the other, in order, where the database takes one."""

import threading
import time

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

import app.db.connections
from app.db.adaptations import insert_queued
from app.db.connections import writing
from app.errors import ServiceError
from tests.rows.orders import new_order, queue, run


def test_forty_writers_at_once_all_write_and_none_waits_long(engine: Engine) -> None:
    longest: list[float] = []

    def write() -> None:
        for _ in range(5):
            started = time.perf_counter()
            with writing(engine) as connection:
                insert_queued(connection, new_order())
            longest.append(time.perf_counter() - started)

    threads = [threading.Thread(target=write) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert run(engine, "SELECT count(*) FROM adaptations") == [(200,)]
    # 40 writes of some milliseconds; without turns SQLite let some wait for seconds.
    assert max(longest) < 2


def test_a_writer_whose_turn_does_not_come_is_told_that_the_database_is_busy(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL takes many writers at once")
    monkeypatch.setattr(app.db.connections, "BUSY_TIMEOUT_MS", 50)

    def write() -> None:
        with pytest.raises(ServiceError) as refused:
            queue(engine)
        codes.append(refused.value.code)

    codes: list[str] = []
    with writing(engine):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()

    assert codes == ["unavailable"]
    assert len(queue(engine)) == 1


def test_an_error_of_the_database_does_not_repeat_what_was_to_be_written(engine: Engine) -> None:
    order = new_order(name="s3cret")
    with writing(engine) as connection:
        insert_queued(connection, order)

        with pytest.raises(IntegrityError) as refused:
            insert_queued(connection, order)
        connection.rollback()

    assert "s3cret" not in str(refused.value)
