"""One running service for all journeys that leave it as it was, and a client that talks to it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.processes import Service, running_service


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A ready `fewstep serve` with everything embedded, shared by the whole room."""
    with running_service(tmp_path_factory.mktemp("journey")) as running:
        yield running


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    """A client of it that waits as long as the service may."""
    with httpx.Client(base_url=service.base_url, timeout=90) as client:
        yield client
