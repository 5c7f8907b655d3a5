"""``webhook`` of ``POST /adapt``: taken, kept and shown, or refused where it leads elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.adaptations import placing
from app.api.application import create_service
from app.cli.serving.setup import prepare
from app.settings import read_settings

BODY = {"checkpoint": "sinusoid", "support": {"inputs": [1.0, 2.0], "targets": [0.5, -0.5]}}
NO_WAIT = {"Prefer": "respond-async"}


@contextmanager
def service(folder: Path, redis_url: str, **changes: Any) -> Iterator[TestClient]:
    """The API in this process, without a worker."""
    settings = read_settings(data_dir=folder, redis_url=redis_url, host="testserver", **changes)
    prepare(settings)
    with TestClient(create_service(settings)) as client:
        yield client


def resolving_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    found = [ip_address(one) for one in addresses]
    monkeypatch.setattr(placing, "resolve", lambda host, port: found)


def test_a_webhook_is_kept_and_shown(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving_to(monkeypatch, "93.184.215.14")
    hook = "https://hooks.example/fewstep?token=1"
    with service(tmp_path, redis_url) as client:
        made = client.post("/adapt", json=BODY | {"webhook": hook}, headers=NO_WAIT)
        seen = client.get(f"/adaptations/{made.json()['id']}")
        without = client.post("/adapt", json=BODY, headers=NO_WAIT)

    assert (made.status_code, made.json()["webhook"]) == (202, hook)
    assert seen.json()["webhook"] == hook
    assert "webhook" not in without.json()


@pytest.mark.parametrize("addresses", [("93.184.215.14", "10.0.0.1"), ("::1",), ("100.64.0.1",)])
def test_b191_a_name_of_which_one_address_is_not_public_is_refused(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    resolving_to(monkeypatch, *addresses)
    with service(tmp_path, redis_url) as client:
        answer = client.post("/adapt", json=BODY | {"webhook": "https://hooks.example/"})

    assert (answer.status_code, answer.json()["code"]) == (422, "forbidden-url")
    assert answer.json()["errors"][0]["pointer"] == "/webhook"
    assert "hooks.example" not in answer.text


def test_loopback_is_taken_where_the_operator_allows_it(tmp_path: Path, redis_url: str) -> None:
    with service(tmp_path, redis_url, webhook_networks="127.0.0.0/8") as client:
        body = BODY | {"webhook": "http://localhost:9/x"}
        answer = client.post("/adapt", json=body, headers=NO_WAIT)

    assert answer.status_code == 202
