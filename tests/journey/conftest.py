"""One running service for all journeys that leave it as it was, a client, and real drawings."""

import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

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


@pytest.fixture(scope="session")
def drawings(omniglot_dir: Path) -> dict[str, list[bytes]]:
    """The PNGs of every character, as they lie in the official archives."""
    found: dict[str, list[bytes]] = defaultdict(list)
    for archive in ("images_background.zip", "images_evaluation.zip"):
        with zipfile.ZipFile(omniglot_dir / archive) as zipped:
            for member in sorted(name for name in zipped.namelist() if name.endswith(".png")):
                found["/".join(PurePosixPath(member).parts[-3:-1])].append(zipped.read(member))
    return found
