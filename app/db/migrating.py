"""Brings a database to the newest schema, under a lock, however many start at once."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

import migrations
from app.db.connections import available, open_engine

ADVISORY_LOCK = 7_305_119  # any number, the same in every process


def migrate(database_url: str) -> None:
    """Runs the migrations that are missing; does nothing where none are."""
    with migrated(database_url):
        pass


@contextmanager
def migrated(database_url: str) -> Iterator[Engine]:
    """An engine on the newest schema, for the block the only one of all that ask for it here.

    Raises ServiceError ``unavailable`` where the database does not answer.
    """
    engine = open_engine(database_url)
    try:
        with available(), _only_one(engine):
            _upgrade(engine)
            yield engine
    finally:
        engine.dispose()


def _upgrade(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.execution_options(writes=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _only_one(engine: Engine) -> Iterator[None]:
    if engine.dialect.name == "sqlite":
        database = Path(str(engine.url.database))
        database.parent.mkdir(parents=True, exist_ok=True)
        with database.with_suffix(".migrating").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    with engine.connect() as holder:  # a session's lock outlives the transaction that migrates
        holder.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
        holder.commit()
        yield
        holder.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        holder.commit()
