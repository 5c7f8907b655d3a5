"""The door: pages of others change nothing, every answer is guarded, HEAD is there where GET is."""

import json
import re
import socket
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from app.api.application import create_app, create_service
from app.db.migrating import migrate
from app.settings import read_settings
from tests.processes import Service
from tests.servers import fresh_redis

FRIEND = "https://console.example"
GUARDS = {
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "cross-origin-resource-policy",
    "cross-origin-opener-policy",
    "permissions-policy",
    "content-security-policy",
    "cache-control",
}
IDS = {
    "adaptation_id": "ad_" + "0" * 32,
    "key_id": "key_" + "0" * 32,
    "tenant_id": "nobody",
    "name": "nothing",
    "version": "1",
    "alias": "best",
    "code": "not-found",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("door")
    with fresh_redis() as redis_url:
        settings = read_settings(
            data_dir=folder, redis_url=redis_url, host="testserver", allowed_origins=FRIEND
        )
        migrate(settings.effective_database_url)
        with TestClient(create_service(settings), raise_server_exceptions=False) as client:
            yield client


def routes() -> list[Route]:
    app = create_app(read_settings(redis_url="redis://127.0.0.1:1"))
    return [route for route in app.routes if isinstance(route, Route)]


def path_of(route: Route) -> str:
    return route.path.format_map(IDS | dict.fromkeys(route.param_convertors, "x") | IDS)


CHANGING = [
    (method, path_of(route))
    for route in routes()
    for method in sorted(route.methods or ())
    if method not in ("GET", "HEAD")
]
READING = [path_of(route) for route in routes() if "GET" in (route.methods or ())]


@pytest.mark.parametrize(("method", "path"), CHANGING)
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver:81"},
        {"Origin": "http://testserver.evil.example"},
        {"Origin": "https://[", "Sec-Fetch-Site": "same-origin"},
    ],
    ids=lambda headers: " ".join(headers.values()),
)
def test_another_sites_page_changes_nothing(
    client: TestClient, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = client.request(method, path, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://testserver"},
        {"Origin": "https://testserver"},  # behind what ends TLS
        {"Origin": FRIEND, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=lambda headers: " ".join(headers.values()) or "no browser",
)
def test_its_own_pages_friends_and_programs_do(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post("/adapt", json={}, headers=headers)

    assert answer.json()["code"] == "validation"


def test_another_sites_page_may_look(client: TestClient) -> None:
    answer = client.get("/livez", headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 200
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("path", READING)
def test_head_is_answered_as_get_without_its_body(client: TestClient, path: str) -> None:
    got, head = (client.request(m, path, follow_redirects=False) for m in ("GET", "HEAD"))

    assert head.content == b""
    assert head.status_code == got.status_code
    passing = {"x-request-id", "server-timing", "date"}
    if path == "/metrics":  # it counts the request before
        passing.add("content-length")
    assert {k: v for k, v in head.headers.items() if k not in passing} == {
        k: v for k, v in got.headers.items() if k not in passing
    }


def test_head_stands_among_the_methods_of_a_405(client: TestClient) -> None:
    assert client.put("/limits").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/livez"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/static-offline-docs/swagger-ui.css"),
        ("GET", "/nowhere"),
        ("PUT", "/livez"),
        ("POST", "/adapt"),
        ("OPTIONS", "/adapt"),
        ("GET", "/"),
        ("HEAD", "/docs"),
    ],
)
def test_every_answer_is_guarded(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path, follow_redirects=False)

    assert set(answer.headers) >= GUARDS
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_mistake_of_ours_is_guarded_as_well(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.routes_service.show_limits", lambda *_: 1 / 0)

    answer = client.get("/limits")

    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert set(answer.headers) >= GUARDS


def test_the_pages_policy_lets_in_its_own_scripts_alone(client: TestClient) -> None:
    answer = client.get("/docs")

    policy = answer.headers["content-security-policy"]
    assert policy.count("'sha256-") == len(re.findall("<script>", answer.text)) == 1
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


@pytest.mark.parametrize("path", READING)
def test_an_unknown_parameter_is_refused_everywhere(client: TestClient, path: str) -> None:
    answer = client.get(path, params={"unheard": "of"}, follow_redirects=False)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation")


@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_and_where_something_changes_too(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path, params={"unheard": "of"})

    assert (answer.status_code, answer.json()["code"]) == (422, "validation")


def test_every_route_was_walked() -> None:
    app = create_app(read_settings(redis_url="redis://127.0.0.1:1"))

    assert {type(route) for route in app.routes} <= {APIRoute, Route, Mount}
    assert len(READING) + len(CHANGING) >= 30


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET HTTP\r\n\r\n"])
def test_what_is_no_http_gets_a_problem(service: Service, sent: bytes) -> None:
    port = int(service.base_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(sent)
        answer = b""
        while part := line.recv(65536):
            answer += part

    head, _, body = answer.partition(b"\r\n\r\n")
    names = {line.partition(b":")[0].decode().lower() for line in head.split(b"\r\n")[1:]}
    assert head.startswith(b"HTTP/1.1 400 ")
    assert names >= GUARDS
    assert json.loads(body)["code"] == "bad-request"
