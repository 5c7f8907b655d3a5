"""Every answer carries its request's id: the caller's own where it is well formed, else ours."""

import asyncio
import logging
import re

import pytest
from anyio.to_thread import run_sync
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, get_contextvars

from app.api.application import create_service
from app.api.request_ids import identified
from app.settings import read_settings

OURS = re.compile("req_[0-9a-f]{32}")


@pytest.fixture
def client() -> TestClient:
    app = create_service(read_settings(redis_url="redis://127.0.0.1:1"))
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize("given", ["a", "7f-3.B_", "x" * 64])
def test_a_well_formed_id_is_answered_as_it_came(client: TestClient, given: str) -> None:
    assert client.get("/livez", headers={"X-Request-Id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize(
    "given", [[], [""], ["x" * 65], ["a b"], ["a\tb"], ["é".encode()], ["a,b"], ["a", "b"]]
)
def test_any_other_id_is_replaced(client: TestClient, given: list[str | bytes]) -> None:
    headers = [(b"x-request-id", v if isinstance(v, bytes) else v.encode()) for v in given]

    answers = [client.get("/livez", headers=headers).headers["x-request-id"] for _ in range(2)]

    assert all(OURS.fullmatch(answer) for answer in answers)
    assert answers[0] != answers[1]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/docs", 200), ("GET", "/nowhere", 404), ("PUT", "/predict", 405)],
)
def test_refusals_have_an_id_too(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)

    assert answer.status_code == status
    assert OURS.fullmatch(answer.headers["x-request-id"])


def test_a_mistake_of_ours_is_answered_with_the_id_that_its_line_has(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    contexts = {}

    def keep_context(record: logging.LogRecord) -> bool:
        contexts[record.name] = get_contextvars()
        return True

    caplog.handler.addFilter(keep_context)
    answer = client.get("/limits")  # for nothing was started here

    assert answer.status_code == 500
    assert contexts["app.api.problems"] == {"request_id": answer.headers["x-request-id"]}


def test_a_request_begins_with_its_own_id_alone_and_its_threads_know_it() -> None:
    seen = []

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await run_sync(get_contextvars))
        bind_contextvars(adaptation_id="ad_1")

    async def two_requests_in_one_context() -> None:
        for given in (b"first", b"second"):
            scope = {"type": "http", "headers": [(b"x-request-id", given)]}
            await identified(route)(scope, nothing, nowhere)

    asyncio.run(two_requests_in_one_context())

    assert seen == [{"request_id": "first"}, {"request_id": "second"}]


async def nothing() -> Message:
    return {"type": "http.disconnect"}


async def nowhere(message: Message) -> None:
    return None
