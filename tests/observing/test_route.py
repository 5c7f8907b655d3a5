"""``/metrics`` over HTTP: for whom, in what form, and with parts of the service away."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from app.api import access
from app.api.application import create_service
from app.backends import Backends
from app.callers import KEYLESS
from app.db.migrating import migrate
from app.settings import read_settings
from app.values.caller import Caller, Scope
from app.values.lasting import Lasting


@pytest.fixture
def client(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[TestClient]:
    settings = read_settings(
        data_dir=tmp_path, database_url=database_url, redis_url=redis_url, host="testserver"
    )
    migrate(database_url)
    with TestClient(create_service(settings)) as client:
        yield client


def read(client: TestClient) -> dict[str, Metric]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {one.name: one for one in text_string_to_metric_families(answer.text)}


def only(
    scopes: set[Scope], monkeypatch: pytest.MonkeyPatch, tenant_id: str = KEYLESS.tenant_id
) -> None:
    """From now on every caller has these scopes alone, in this tenant."""
    caller = replace(KEYLESS, scopes=frozenset(scopes), tenant_id=tenant_id)

    def looked_up(backends: Backends, key_hash: str) -> Lasting[Caller]:
        return Lasting(value=caller, left_s=0)

    monkeypatch.setattr(access, "caller_of", looked_up)


def test_it_is_open_on_loopback_as_long_as_there_is_no_key(client: TestClient) -> None:
    answer = client.get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"


def test_it_needs_the_scope_admin(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    only(set(Scope) - {Scope.ADMIN}, monkeypatch)
    without = client.get("/metrics")
    only({Scope.ADMIN}, monkeypatch)

    assert (without.status_code, without.json()["code"]) == (403, "forbidden")
    assert client.get("/metrics").status_code == 200


def test_another_tenants_administrator_is_not_told(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    only({Scope.ADMIN}, monkeypatch, tenant_id="other")

    answer = client.get("/metrics")

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_head_is_answered_like_get(client: TestClient) -> None:
    answer = client.head("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_a_query_is_refused(client: TestClient) -> None:
    answer = client.get("/metrics?name[]=fewstep_workers")

    assert (answer.status_code, answer.json()["code"]) == (422, "validation")


def test_requests_are_counted_by_the_template_of_their_route(client: TestClient) -> None:
    secret = "ad_" + "5" * 32
    before = _requests(read(client))

    client.get(f"/adaptations/{secret}")
    client.get(f"/predict?adaptation={secret}&input=1")
    client.get(f"/nowhere/{secret}")
    client.request("BREW", "/predict")
    text = client.get("/metrics").text

    after = _requests({one.name: one for one in text_string_to_metric_families(text)})
    added = {key for key, count in after.items() if count > before.get(key, 0)}
    assert added >= {
        ("GET", "/adaptations/{adaptation_id}", "404"),
        ("GET", "/predict", "404"),
        ("GET", "unmatched", "404"),
    }
    assert {method for method, _, _ in added} <= {"GET", "HEAD", "POST", "other"}
    assert secret not in text
    assert "BREW" not in text


def _requests(found: dict[str, Metric]) -> dict[tuple[str, str, str], float]:
    samples = found["fewstep_http_requests"].samples
    return {(s.labels["method"], s.labels["route"], s.labels["status"]): s.value for s in samples}


def test_refusals_are_counted_by_their_code(client: TestClient) -> None:
    def refused() -> float:
        samples = read(client)["fewstep_http_problems"].samples
        return sum(s.value for s in samples if s.labels["code"] == "unsupported-media-type")

    before = refused()
    client.post("/adapt", content=b"x", headers={"Content-Type": "text/plain"})

    assert refused() == before + 1


def test_it_answers_while_redis_is_away(tmp_path: Path) -> None:
    settings = read_settings(data_dir=tmp_path, redis_url="redis://127.0.0.1:1", host="testserver")
    migrate(settings.effective_database_url)

    with TestClient(create_service(settings)) as client:
        client.get("/livez")
        found = read(client)

    assert found["fewstep_metrics_redis_up"].samples[0].value == 0
    assert ("GET", "/livez", "200") in _requests(found)
    queued = {s.labels["status"]: s.value for s in found["fewstep_adaptations"].samples}
    assert queued["queued"] == 0


def test_the_document_describes_it(client: TestClient) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/metrics"]["get"]

    assert list(operation["responses"]["200"]["content"]) == ["text/plain"]
    assert {"401", "403", "422", "default"} <= operation["responses"].keys()
