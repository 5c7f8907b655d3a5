"""A migrated database of each kind, emptied for every test."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from app.db.connections import open_engine, writing
from app.db.migrating import migrate
from app.db.tables import metadata
from app.db.tenants import ensure_tenant
from app.values.tenants import DEFAULT, SHARED
from tests.servers import fresh_postgres


@pytest.fixture(scope="package", params=["sqlite", "postgres"])
def migrated_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """URL of a migrated database, once of each kind that the service supports."""
    if request.param == "postgres":
        with fresh_postgres() as url:
            migrate(url)
            yield url
        return
    url = f"sqlite:///{tmp_path_factory.mktemp('rows') / 'test.db'}"
    migrate(url)
    yield url


@pytest.fixture
def engine(migrated_url: str) -> Iterator[Engine]:
    """An engine on empty tables but for the default and the shared tenant."""
    engine = open_engine(migrated_url)
    with writing(engine) as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
        ensure_tenant(connection, DEFAULT)
        ensure_tenant(connection, SHARED)
    yield engine
    engine.dispose()
