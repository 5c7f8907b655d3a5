"""What must hold of the database before anybody is served: `fewstep migrate`, every start."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from app.checkpoints.registry import install_shipped
from app.db.connections import open_engine
from app.db.keys import any_key, ensure_bootstrap_key
from app.db.migrating import migrated
from app.settings import Settings
from app.store import open_store


def prepare(settings: Settings) -> None:
    """Migrates the database, installs the shipped checkpoints and the bootstrap key.

    Doing it again, or several at once, changes nothing. Raises ValueError for a weak key.
    """
    with migrated(settings.effective_database_url) as engine:
        install_shipped(engine, open_store(settings.effective_store_url))
        if settings.bootstrap_key is not None:
            ensure_bootstrap_key(engine, settings.bootstrap_key.get_secret_value())


def has_key(settings: Settings) -> bool:
    """Whether a key was ever created, so that strangers are turned away."""
    with _engine(settings) as engine:
        return any_key(engine)


@contextmanager
def _engine(settings: Settings) -> Iterator[Engine]:
    engine = open_engine(settings.effective_database_url)
    try:
        yield engine
    finally:
        engine.dispose()
