"""The service twice, on the embedded default and on PostgreSQL and Redis, with what it stands on
within reach; webhooks may go to this machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from redis import Redis
from sqlalchemy import Engine

from app.cli.serving import valkey
from app.db.connections import open_engine
from tests.both_kinds import KINDS
from tests.processes import Service, running_service
from tests.servers import fresh_postgres, fresh_redis

SETTINGS = {
    "FEWSTEP_WEBHOOK_NETWORKS": "127.0.0.0/8",
    "FEWSTEP_WEBHOOK_RETRIES_S": "0,1,1",
    "FEWSTEP_WEBHOOK_TIMEOUT_S": "2",
    "FEWSTEP_MAX_EVENT_STREAMS": "100",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A service, its rows and its messages."""

    service: Service
    engine: Engine
    redis: "Redis"


@pytest.fixture(scope="package", params=KINDS)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("events")
    if request.param == "embedded":
        with running_service(folder, **SETTINGS) as service:
            redis_url = valkey.redis_url(valkey.place_of_socket(service.data_dir))
            yield from _place(service, f"sqlite:///{service.data_dir / 'fewstep.db'}", redis_url)
        return
    with fresh_postgres() as database_url, fresh_redis() as redis_url:
        urls = {"FEWSTEP_DATABASE_URL": database_url, "FEWSTEP_REDIS_URL": redis_url}
        with running_service(folder, **SETTINGS, **urls) as service:
            yield from _place(service, database_url, redis_url)


def _place(service: Service, database_url: str, redis_url: str) -> Iterator[Place]:
    engine = open_engine(database_url)
    with Redis.from_url(redis_url) as redis:
        yield Place(service=service, engine=engine, redis=redis)
    engine.dispose()


@pytest.fixture
def client(place: Place) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=place.service.base_url, timeout=60) as client:
        yield client
