"""A key counts from its creation and ends with its revocation, at once and in a busy process."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.journey.requests import adapt, sine
from tests.journey.test_keys import keys
from tests.processes import Service, running_service

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running_service(tmp_path) as running:
        yield running


def status(service: Service, adaptation_id: str, key: str | None = None) -> int:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    asked = {"adaptation": adaptation_id, "input": "1"}
    return httpx.get(f"{service.base_url}/predict", params=asked, headers=headers).status_code


def test_what_was_remembered_of_callers_ends_with_the_command(service: Service) -> None:
    with httpx.Client(base_url=service.base_url, timeout=90) as nobody:
        keyless = adapt(nobody, sine())["id"]
        assert [status(service, keyless) for _ in range(3)] == [200, 200, 200]

        key = keys(service, "create").strip()

        assert status(service, keyless) == 401
    assert [status(service, keyless, key) for _ in range(3)] == [200, 200, 200]
    [key_id] = [line.split()[0] for line in keys(service, "list").splitlines()]
    assert status(service, keyless, key) == 200
    keys(service, "revoke", key_id)
    assert status(service, keyless, key) == 401


def test_without_news_a_key_ends_within_a_second(service: Service) -> None:
    with httpx.Client(base_url=service.base_url, timeout=90) as nobody:
        keyless = adapt(nobody, sine())["id"]
    key = keys(service, "create").strip()
    [key_id] = [line.split()[0] for line in keys(service, "list").splitlines()]
    assert status(service, keyless, key) == 200

    # The command of another machine, say, that reaches the database and no Redis.
    keys(service, "revoke", key_id, FEWSTEP_REDIS_URL="redis://127.0.0.1:1")
    time.sleep(1.0)

    assert status(service, keyless, key) == 401
