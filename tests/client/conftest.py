"""A running service of each kind for the client's tests, and a client of it."""

from collections.abc import Iterator

import pytest
from fewstep_client import Client

from tests.both_kinds import KINDS, running_kind
from tests.processes import Service


@pytest.fixture(scope="package", params=KINDS)
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with running_kind(request.param, tmp_path_factory.mktemp("client")) as running:
        yield running


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.base_url) as client:
        yield client
