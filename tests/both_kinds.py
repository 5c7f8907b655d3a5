"""The service as it is deployed: with everything embedded, or on PostgreSQL and Redis."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.processes import Service, running_service
from tests.servers import fresh_postgres, fresh_redis

EMBEDDED, ON_SERVERS = KINDS = ("embedded", "PostgreSQL and Redis")


@contextmanager
def running_kind(kind: str, folder: Path, **variables: str) -> Iterator[Service]:
    """A ready service of this kind, without keys, on an empty data folder."""
    with ExitStack() as stack:
        if kind == ON_SERVERS:
            variables["FEWSTEP_DATABASE_URL"] = stack.enter_context(fresh_postgres())
            variables["FEWSTEP_REDIS_URL"] = stack.enter_context(fresh_redis())
        yield stack.enter_context(running_service(folder, **variables))
