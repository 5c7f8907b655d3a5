"""The whole surface twice: on the embedded default, and on PostgreSQL and Redis."""

from collections.abc import Iterator

import httpx
import pytest

from tests.processes import Service, running_service
from tests.servers import fresh_postgres, fresh_redis

LIMITS = {"FEWSTEP_MAX_BATCH_ADAPTATIONS": "40"}


@pytest.fixture(scope="package", params=["embedded", "PostgreSQL and Redis"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A ready `fewstep serve` on an empty data folder, without keys."""
    folder = tmp_path_factory.mktemp("surface")
    if request.param == "embedded":
        with running_service(folder, **LIMITS) as running:
            yield running
        return
    with fresh_postgres() as database_url, fresh_redis() as redis_url:
        urls = {"FEWSTEP_DATABASE_URL": database_url, "FEWSTEP_REDIS_URL": redis_url}
        with running_service(folder, **LIMITS, **urls) as running:
            yield running


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    """A client of it that waits as long as the service may."""
    with httpx.Client(base_url=service.base_url, timeout=90) as client:
        yield client
