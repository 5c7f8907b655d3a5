"""``GET /checkpoints`` in parts and ``GET /limits`` in one look, over a database of each kind."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, event
from starlette.testclient import TestClient

from app.api.application import create_app
from app.messages.memory import Memory
from app.settings import read_settings
from tests.rows.versions import add

Json = dict[str, Any]


def encoded(place: object) -> str:
    return urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


@pytest.fixture
def client(engine: Engine) -> TestClient:
    """A client of the routes with a database, and with nothing else of a service."""
    settings = read_settings(redis_url="redis://127.0.0.1:1")
    app = create_app(settings)
    backends = SimpleNamespace(engine=engine, settings=settings)
    app.state.service = SimpleNamespace(backends=backends, memory=Memory())
    return TestClient(app, base_url="http://127.0.0.1")


def pages(client: TestClient, **query: str) -> Iterator[Json]:
    """The answers of a caller who follows ``next`` to the end."""
    page = client.get("/checkpoints", params=query).json()
    yield page
    while page["has_more"]:
        page = client.get("/checkpoints", params={**query, "cursor": page["next"]}).json()
        yield page


@pytest.mark.parametrize(
    ("query", "sizes"), [({}, [100, 100, 50]), ({"limit": "90"}, [90, 90, 70])]
)
def test_250_versions_are_paged_without_gap_or_double(
    client: TestClient, engine: Engine, query: dict[str, str], sizes: list[int]
) -> None:
    add(engine, "default", "a", 130)
    add(engine, "shared", "b", 120)

    found = list(pages(client, **query))

    assert [len(page["data"]) for page in found] == sizes
    assert [page["has_more"] for page in found] == [True, True, False]
    assert found[-1]["next"] is None
    listed = [(one["name"], one["version"]) for page in found for one in page["data"]]
    newest_first = [("a", n) for n in range(130, 0, -1)] + [("b", n) for n in range(120, 0, -1)]
    assert listed == newest_first


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "a",
        "é",
        "YQ",
        encoded([]),
        encoded(["a", 1]),
        encoded(["a", 1, "true"]),
        encoded(["a", "1", True]),
        encoded(["a", 0, True]),
        encoded(["a", 2**31, True]),
        encoded(["a", 1.5, True]),
        encoded(["a", 10**30, True]),
        encoded(["a\0", 1, True]),
        encoded(["a\n", 1, True]),
        encoded(["a" * 65, 1, True]),
        encoded(["a", 1, True, 1]),
        encoded({"name": "a"}),
        "W1tb" * 1000,
    ],
)
def test_what_no_answer_gave_as_next_is_refused(client: TestClient, cursor: str) -> None:
    answer = client.get("/checkpoints", params={"cursor": cursor})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-cursor")


@pytest.mark.parametrize("limit", ["", "0", "101", "-1", "1.0", "ten", "+1", "٣", "1" * 5000])
def test_a_limit_that_is_no_number_from_1_to_100_is_refused(client: TestClient, limit: str) -> None:
    answer = client.get("/checkpoints", params={"limit": limit})

    assert (answer.status_code, answer.json()["code"]) == (422, "validation")
    assert answer.json()["errors"][0]["pointer"] == "/limit"


def test_parameters_that_are_doubled_or_unknown_are_refused(client: TestClient) -> None:
    queries = ["limit=1&limit=1", "cursor=a&cursor=a", "offset=1"]

    assert [client.get(f"/checkpoints?{query}").status_code for query in queries] == [422] * 3


def test_the_parameters_are_documented(client: TestClient) -> None:
    told = client.get("/openapi.json").json()["paths"]["/checkpoints"]["get"]["parameters"]

    assert [parameter["name"] for parameter in told] == ["limit", "cursor"]


def test_limits_tell_the_ways_and_read_no_description(client: TestClient, engine: Engine) -> None:
    add(engine, "shared", "letters", 30, max_way=5)
    add(engine, "default", "letters", 30, max_way=7)
    add(engine, "default", "curve", 1, max_way=1, task="regression")
    client.get("/limits")  # from now on it is remembered that no keys are in use
    columns: list[list[str]] = []

    def note(connection: Any, cursor: Any, *_: Any) -> None:
        if cursor.description is not None:  # not the BEGIN of SQLite
            columns.append([column[0] for column in cursor.description])

    event.listen(engine, "after_cursor_execute", note)
    answer = client.get("/limits")

    assert answer.json()["ways"] == {"letters": 7}
    assert columns[-2:] == [["name", "task", "max_way"], ["device"]]
    assert len(columns) <= 3
    assert not any("description" in names for names in columns)


def test_a_checkpoint_of_an_unknown_kind_hides_no_other(client: TestClient, engine: Engine) -> None:
    add(engine, "default", "known", 1)
    add(engine, "default", "unknown", 1, task="density")

    listed, limits = client.get("/checkpoints").json(), client.get("/limits").json()

    assert [(one["name"], one["max_way"]) for one in listed["data"]] == [
        ("known", 5),
        ("unknown", None),
    ]
    assert limits["ways"] == {"known": 5}
