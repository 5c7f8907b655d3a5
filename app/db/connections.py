"""The engine and its two kinds of transaction, on SQLite and PostgreSQL alike.

SQLite: write-ahead log, and writers say so at once (``BEGIN IMMEDIATE``), since a reader that
becomes a writer later fails where nothing can help it.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Double, Engine, Insert, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from app.errors import ServiceError

POOL: dict[str, Any] = {
    "pool_timeout": 2,
    "pool_size": 20,  # with the overflow as many as the API has threads
    "max_overflow": 20,
    "hide_parameters": True,  # or SQLAlchemy's errors, and so the log, would hold what callers sent
    "json_serializer": partial(json.dumps, allow_nan=False),  # PostgreSQL would refuse NaN anyway
}
BUSY_TIMEOUT_MS = 5000
_turns: WeakKeyDictionary[Engine, Lock] = WeakKeyDictionary()  # of engines on SQLite


class now_s(FunctionElement[float]):
    """Seconds since 1970 by the database's clock, at the moment of the statement."""

    type = Double()
    inherit_cache = True
    name = "now_s"


@compiles(now_s, "postgresql")
def _now_postgresql(element: Any, compiler: Any, **_: Any) -> str:
    return "(extract(epoch from clock_timestamp())::double precision)"


@compiles(now_s, "sqlite")
def _now_sqlite(element: Any, compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


def insert_missing(connection: Connection, t: Table) -> Insert:
    """An insert that does nothing where the row is there, also where another one adds it now."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(t).on_conflict_do_nothing()
    return sqlite.insert(t).on_conflict_do_nothing()


def open_engine(database_url: str) -> Engine:
    """A pooled engine; connects when it is first used."""
    if make_url(database_url).get_backend_name() == "sqlite":
        return _sqlite(database_url)
    return create_engine(database_url, pool_pre_ping=True, **POOL)


def _sqlite(database_url: str) -> Engine:
    engine = create_engine(database_url, **POOL)
    _turns[engine] = Lock()

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",  # a committed row survives a power cut
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that changes rows; committed at the end, rolled back when it raises.

    Raises ServiceError ``unavailable`` where the database does not answer.
    """
    with (
        available(),
        _turn(engine),
        engine.connect() as connection,
        connection.execution_options(writes=True).begin(),
    ):
        yield connection


@contextmanager
def _turn(engine: Engine) -> Iterator[None]:
    """One writer at a time of this process, in order, where the database takes one at a time.

    SQLite itself has them sleep and try again, up to 0.1 s at a time, in no order.
    """
    turn = _turns.get(engine)
    if turn is None:
        yield
        return
    if not turn.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
        raise ServiceError("unavailable", "the database is busy", retry_after_s=1)
    try:
        yield
    finally:
        turn.release()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that only reads. Raises ServiceError ``unavailable`` like ``writing``."""
    with available(), engine.begin() as connection:
        yield connection


@contextmanager
def available() -> Iterator[None]:
    """A database that does not answer is a ServiceError ``unavailable`` in the block."""
    try:
        yield
    except (OperationalError, PoolTimeout) as error:
        raise ServiceError(
            "unavailable", "the database does not answer", retry_after_s=1
        ) from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise ServiceError("unavailable", "the database went away", retry_after_s=1) from error
