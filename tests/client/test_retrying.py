"""What is not answered is tried again, safely: the same key, the pause asked for, an end."""

import json
from collections.abc import Callable

import httpx
import pytest
from fewstep_client import Busy, Client, FewstepError, Unavailable
from fewstep_client import client as module

ADAPTATION = {"id": "ad_1", "object": "adaptation", "status": "succeeded", "error": None}
Answer = Callable[[httpx.Request], httpx.Response]


class Clock:
    """Time that passes only where somebody pauses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.pauses = 0.0, list[float]()
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        monkeypatch.setattr(module.time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def client_of(*answers: httpx.Response | Exception) -> tuple[Client, list[httpx.Request]]:
    """A client whose requests get these answers, the last of them for ever."""
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        answer = answers[min(len(asked), len(answers) - 1)]
        asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Client("http://fewstep.test", transport=httpx.MockTransport(handle)), asked


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    body = {"status": status, "code": code, "detail": "so it is"}
    return httpx.Response(status, json=body, headers=headers)


def test_a_broken_line_is_tried_again_under_the_same_key(clock: Clock) -> None:
    made = httpx.Response(201, json=ADAPTATION)
    client, asked = client_of(httpx.ReadError("broken"), problem(503, "unavailable"), made)

    assert client.adapt("sinusoid", [1.0], [1.0]).id == "ad_1"

    assert len(asked) == 3
    assert len({one.headers["Idempotency-Key"] for one in asked}) == 1
    assert len({one.content for one in asked}) == 1


def test_the_pause_that_is_asked_for_is_kept(clock: Clock) -> None:
    made = httpx.Response(201, json=ADAPTATION)
    client, _ = client_of(problem(429, "rate-limited", **{"Retry-After": "7"}), made)

    client.adapt("sinusoid", [1.0], [1.0])

    assert sum(clock.pauses) >= 7


def test_it_ends_with_what_was_said_last(clock: Clock) -> None:
    client, asked = client_of(problem(429, "queue-full", **{"Retry-After": "1"}))

    with pytest.raises(Busy, match="queue-full"):
        client.adapt("sinusoid", [1.0], [1.0])

    assert len(asked) > 5
    assert 30 < clock.now <= 60


def test_where_nothing_answers_it_says_so(clock: Clock) -> None:
    client, _ = client_of(httpx.ConnectError("refused"))

    with pytest.raises(Unavailable, match="nothing answered"):
        client.limits()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 415, 422, 500, 507])
def test_what_no_second_try_would_change_is_not_tried_again(clock: Clock, status: int) -> None:
    client, asked = client_of(problem(status, "validation"))

    with pytest.raises(FewstepError) as refused:
        client.limits()

    assert len(asked) == 1
    assert refused.value.status == status


def test_what_is_no_fewstep_is_told_in_words(clock: Clock) -> None:
    for answer in (httpx.Response(200, text="<html>"), httpx.Response(502, text="<html>")):
        client, _ = client_of(answer)
        with pytest.raises(FewstepError):
            client.limits()


def test_what_was_begun_is_waited_for_in_short_requests(clock: Clock) -> None:
    def standing(status: str) -> httpx.Response:
        return httpx.Response(200, json=ADAPTATION | {"status": status})

    begun = httpx.Response(202, json=ADAPTATION | {"status": "queued"})
    client, asked = client_of(
        begun, standing("running"), standing("running"), standing("succeeded")
    )

    assert client.adapt("sinusoid", [1.0], [1.0]).status == "succeeded"

    assert [one.url.path for one in asked] == ["/adapt", *["/adaptations/ad_1"] * 3]
    assert all(int(one.url.params["wait"]) <= 30 for one in asked[1:])


def test_a_batch_is_cut_into_calls_that_the_service_takes(clock: Clock) -> None:
    calls: list[int] = []

    def handle(request: httpx.Request) -> httpx.Response:
        lines = request.content.decode().splitlines()
        calls.append(len(lines))
        told = "\n".join(json.dumps(ADAPTATION) for _ in lines)
        return httpx.Response(200, text=told)

    client = Client("http://fewstep.test", transport=httpx.MockTransport(handle))
    made = client.adapt_many("sinusoid", [([1.0], [1.0])] * 1201, progress=False)

    assert len(made) == 1201
    assert calls == [500, 500, 201]


def test_a_stream_that_breaks_is_taken_up_where_it_was(clock: Clock) -> None:
    parts = [
        'id: 1\nevent: adaptation.queued\ndata: {"id": 1}\n\nid: 2\nevent: adaptation.ru',
        'id: 2\nevent: adaptation.running\ndata: {"id": 2}\n\n: alive\n\n',
        'id: 3\nevent: adaptation.succeeded\ndata: {"id": 3}\n\n',
    ]
    asked: list[str | None] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Last-Event-ID"))
        return httpx.Response(200, text=parts[len(asked) - 1])

    client = Client("http://fewstep.test", transport=httpx.MockTransport(handle))

    assert [event["id"] for event in client.follow("ad_1")] == [1, 2, 3]
    assert asked == [None, "1", "2"]
