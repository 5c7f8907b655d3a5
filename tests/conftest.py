"""Fixtures that every room's tests share: databases, brokers, drawings, a running service."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Service, running_service
from tests.servers import RABBITMQ, fresh_postgres, fresh_redis, require


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """SQLAlchemy URL of an empty PostgreSQL database, dropped afterwards."""
    with fresh_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SQLAlchemy URL of an empty database, once of each kind that the service supports."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def redis_url() -> Iterator[str]:
    """URL of an empty Redis database number of our own."""
    with fresh_redis() as url:
        yield url


@pytest.fixture
def rabbitmq_url() -> str:
    """URL of the local RabbitMQ."""
    require("RabbitMQ", RABBITMQ)
    return RABBITMQ


@pytest.fixture(scope="session")
def omniglot_dir() -> Path:
    """Folder with images_background.zip and images_evaluation.zip, where FEWSTEP_OMNIGLOT says."""
    folder = os.environ.get("FEWSTEP_OMNIGLOT")
    if not folder or not Path(folder, "images_evaluation.zip").is_file():
        pytest.skip("FEWSTEP_OMNIGLOT does not name a folder with images_evaluation.zip")
    return Path(folder)


@pytest.fixture(scope="session")
def maml_bundle() -> Path:
    """Prefix of the checkpoint that Finn et al. published, in the folder of FEWSTEP_MAML_BUNDLE."""
    folder = os.environ.get("FEWSTEP_MAML_BUNDLE")
    if not folder or not Path(folder, "model59000.index").is_file():
        pytest.skip("FEWSTEP_MAML_BUNDLE does not name a folder with model59000.index")
    return Path(folder, "model59000")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A ready `fewstep serve` with everything embedded, on an empty data folder."""
    with running_service(tmp_path_factory.mktemp("service")) as running:
        yield running
