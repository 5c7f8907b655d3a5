"""What the API and the workers share at run time: settings, database, store and queue, opened
together.
"""

from dataclasses import dataclass

from sqlalchemy import Engine

from app.db.connections import open_engine, reading
from app.db.workers import live_workers
from app.errors import ServiceError
from app.messages.hints import Queue, open_queue
from app.settings import Settings
from app.store import BlobStore, StoreUnavailable, open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """Handles that are safe to share between threads of one process, not between processes."""

    settings: Settings
    engine: Engine
    store: BlobStore
    queue: Queue

    def close(self) -> None:
        """Gives connections back."""
        self.engine.dispose()
        self.queue.celery.close()
        self.queue.redis.close()


def read_blob(backends: Backends, tenant_id: str, digest: str) -> bytes:
    """A blob's bytes, checked. Raises BlobMissing, BlobDamaged; ServiceError ``unavailable``."""
    try:
        return backends.store.get(tenant_id, digest)
    except StoreUnavailable as error:
        raise ServiceError("unavailable", "the store does not answer", retry_after_s=1) from error


def check_free_space(backends: Backends) -> None:
    """Raises ServiceError ``store-full`` where the store has less room left than the settings keep
    for what was accepted already, ``unavailable`` where it does not say.
    """
    try:
        free = backends.store.free_bytes()
    except StoreUnavailable as error:
        raise ServiceError("unavailable", "the store does not answer", retry_after_s=1) from error
    if free is not None and free < backends.settings.store_free_mib * 2**20:
        detail = "the store is nearly full; free some of it, or give it more room"
        raise ServiceError("store-full", detail, retry_after_s=60)


def open_backends(settings: Settings) -> Backends:
    """Opens what the settings name; connections are made when they are first used."""
    return Backends(
        settings=settings,
        engine=open_engine(settings.effective_database_url),
        store=open_store(settings.effective_store_url),
        queue=open_queue(settings),
    )


def devices(backends: Backends) -> list[str]:
    """The devices of the workers that live now."""
    with reading(backends.engine) as connection:
        return live_workers(connection)


def missing_part(backends: Backends) -> str | None:
    """What is not there of broker and workers, in words; None where all is.

    Raises ServiceError ``unavailable`` where the database does not answer.
    """
    workers = devices(backends)
    if not backends.queue.is_up():
        return "the broker does not answer"
    return None if workers else "no worker is alive"
