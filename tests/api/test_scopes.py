"""Every route says in its signature what its caller needs, and a key without that is refused."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from app.api import access
from app.api.access import needs_of
from app.api.application import ROUTERS, create_service
from app.api.routes_predict import router as predict_router
from app.backends import Backends
from app.callers import KEYLESS
from app.db.migrating import migrate
from app.settings import read_settings
from app.values.caller import Caller, Scope
from app.values.lasting import Lasting
from tests.servers import fresh_redis

PUBLIC = {
    "/",
    "/livez",
    "/readyz",
    "/problems/{code}",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
}
FOR_ANY_KEY = {
    "GET /limits",
    "GET /usage",
    "GET /checkpoints",
    "GET /checkpoints/{name}",
    "GET /checkpoints/{name}/versions/{version}",
}
ROUTES = [
    route
    for router in (predict_router, *(module.router for module in ROUTERS))
    for route in router.routes
    if isinstance(route, APIRoute)
]


def test_every_route_says_what_its_caller_needs_but_the_public_ones() -> None:
    assert {route.path for route in ROUTES if needs_of(route.endpoint) is None} == PUBLIC


def test_every_route_needs_a_scope_but_those_for_any_key() -> None:
    needs = {f"{min(route.methods)} {route.path}": needs_of(route.endpoint) for route in ROUTES}

    for_any = {path for path, need in needs.items() if need is not None and need.scope is None}

    assert for_any == FOR_ANY_KEY


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("scopes")
    with fresh_redis() as redis_url:
        settings = read_settings(data_dir=folder, redis_url=redis_url, host="testserver")
        migrate(settings.effective_database_url)
        with TestClient(create_service(settings)) as client:
            yield client


def only(scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on every caller has this scope alone."""
    caller = replace(KEYLESS, scopes=frozenset({scope}))

    def looked_up(backends: Backends, key_hash: str) -> Lasting[Caller]:
        return Lasting(value=caller, left_s=0)

    monkeypatch.setattr(access, "caller_of", looked_up)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{min(route.methods)} {route.path}")
@pytest.mark.parametrize("scope", Scope)
def test_a_key_without_the_scope_is_forbidden_and_one_with_it_is_not(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, route: APIRoute, scope: Scope
) -> None:
    only(scope, monkeypatch)
    needs = needs_of(route.endpoint)
    path = route.path.replace("{adaptation_id}", "ad_" + "0" * 32)

    answer = client.request(min(route.methods), path, follow_redirects=False)

    lacks = needs is not None and needs.scope not in (None, scope)
    assert (answer.status_code == 403) == lacks
    if lacks:
        assert answer.json()["code"] == "forbidden"
