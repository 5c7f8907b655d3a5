"""What callers use: counted in memory where it is answered, written down in portions, told by day.

A process that dies loses what it counted since it last wrote: some seconds. Adaptations are counted
where they end, in their own transaction.
"""

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.exc import IntegrityError

from app.backends import Backends
from app.db.connections import reading, writing
from app.db.usage import Used, add_usage, list_usage
from app.errors import ServiceError
from app.values.caller import Caller, Scope

__all__ = ["Meter", "Used", "usage_of"]

log = logging.getLogger(__name__)


class Meter:
    """What one process counted and has not written down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def count(self, caller: Caller, counted: str, amount: int) -> None:
        """Counts something that the caller used."""
        with self._lock:
            self._counts[caller.tenant_id, caller.key_id or "", counted] += amount

    def write_down(self, backends: Backends) -> None:
        """Adds what was counted to the rows; keeps it where the database does not answer."""
        with self._lock:
            taken, self._counts = self._counts, Counter()
        by_tenant: dict[str, dict[tuple[str, str, str, str], float]] = {}
        for (tenant_id, key_id, counted), amount in taken.items():
            of_tenant = by_tenant.setdefault(tenant_id, {})
            of_tenant[tenant_id, key_id, today(), counted] = float(amount)
        for tenant_id, counts in by_tenant.items():
            try:
                with writing(backends.engine) as connection:
                    add_usage(connection, counts)
            except IntegrityError:  # the tenant is gone, and its usage with it
                continue
            except ServiceError as error:
                log.warning("usage not written down", extra={"error": error.code})
                kept = {(t, k, c): n for (t, k, c), n in taken.items() if t == tenant_id}
                with self._lock:
                    self._counts.update(kept)


def usage_of(backends: Backends, caller: Caller, *, first: str, last: str) -> Sequence[Used]:
    """What the caller's key used from one day to another; an administrator's whole tenant."""
    own = None if Scope.ADMIN in caller.scopes else (caller.key_id or "")
    with reading(backends.engine) as connection:
        return list_usage(connection, caller.tenant_id, first=first, last=last, key_id=own)


def today() -> str:
    """The day of UTC, as 2026-01-31."""
    return datetime.now(UTC).date().isoformat()
