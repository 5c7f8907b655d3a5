"""Nothing that ended stays on disk: support sets that were kept long enough are let go, rows that
ended long ago are removed, and blobs that no row refers to are freed after a grace.

One sweeper of all does it at a time, in portions, between which others write.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from redis import RedisError
from sqlalchemy import Connection

from app.backends import Backends
from app.db.connections import reading, writing
from app.db.freeing import digests_of, forget_supports, remove_old, remove_old_deliveries
from app.store import StoreUnavailable

TURN: Final = "fewstep:freeing"
TURN_S: Final = 3600  # where whoever had it died
PORTION: Final = 200
DAY_S: Final = 86_400
BREATH_S: Final = 0.02

log = logging.getLogger(__name__)


def free(backends: Backends) -> int:
    """One round; how many blobs were freed, none where another sweeper is at it."""
    if not _has_turn(backends):
        return 0
    try:
        _let_go(backends)
        return _free_blobs(backends)
    except StoreUnavailable as error:
        log.warning("store not looked through", extra={"error": str(error)})
        return 0
    finally:
        with suppress(RedisError):
            backends.queue.redis.delete(TURN)


def _has_turn(backends: Backends) -> bool:
    with suppress(RedisError):
        return bool(backends.queue.redis.set(TURN, 1, nx=True, ex=TURN_S))
    return False


def _let_go(backends: Backends) -> None:
    settings = backends.settings
    usual_s = settings.support_retention_s

    def forget(connection: Connection) -> int:
        return len(forget_supports(connection, usual_s=usual_s, limit=PORTION))

    forgotten = _in_portions(backends, forget)
    removed = 0
    if settings.retention_days is not None:
        older_s = settings.retention_days * DAY_S
        for remove in (remove_old, remove_old_deliveries):
            old = partial(remove, older_than_s=older_s, limit=PORTION)
            removed += _in_portions(backends, old)
    if forgotten or removed:
        log.info("let go", extra={"supports": forgotten, "rows": removed})


def _in_portions(backends: Backends, change: Callable[[Connection], int]) -> int:
    """Changes rows, a portion in each transaction, until none is left; how many those were."""
    total = 0
    while True:
        with writing(backends.engine) as connection:
            changed = change(connection)
        total += changed
        if changed < PORTION:
            return total
        time.sleep(BREATH_S)


def _free_blobs(backends: Backends) -> int:
    store, grace_s = backends.store, backends.settings.grace_s
    freed = 0
    for tenant_id in store.tenants():
        # Blobs first: what is put from here on is too young for this round.
        old = set(store.older(tenant_id, grace_s))
        if not old:
            continue
        with reading(backends.engine) as connection:
            old.difference_update(digests_of(connection, tenant_id))
        for digest in sorted(old):
            freed += store.free(tenant_id, digest, older_than_s=grace_s)
    if freed:
        log.info("blobs freed", extra={"blobs": freed})
    return freed
