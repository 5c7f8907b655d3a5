"""The whole surface twice: on the embedded default, and on PostgreSQL and Redis."""

from collections.abc import Iterator

import httpx
import pytest

from tests.both_kinds import KINDS, running_kind
from tests.processes import Service

LIMITS = {"FEWSTEP_MAX_BATCH_ADAPTATIONS": "40"}


@pytest.fixture(scope="package", params=KINDS)
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A ready `fewstep serve` on an empty data folder, without keys."""
    with running_kind(request.param, tmp_path_factory.mktemp("surface"), **LIMITS) as running:
        yield running


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    """A client of it that waits as long as the service may."""
    with httpx.Client(base_url=service.base_url, timeout=90) as client:
        yield client
