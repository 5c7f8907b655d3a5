"""Event streams over real sockets: live, cut, resumed, ended."""

import json
import random
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from redis import Redis
from sqlalchemy import insert, select, update

from app.db.connections import open_engine, reading, writing
from app.db.events import record
from app.db.tables import adaptations
from app.messages.news import tell_changed, tell_moved
from app.values.adaptation import new_id
from app.values.lifecycle import Status
from tests.events.conftest import Place
from tests.events.source import opened
from tests.journey.requests import adapt, refusal, sine
from tests.processes import running_service, stop

pytestmark = pytest.mark.e2e

ASYNC = {"Prefer": "respond-async"}


def held_row(place: Place, client: httpx.Client) -> str:
    """A running adaptation that no worker will ever touch, with its first two events."""
    original = adapt(client, sine())["id"]
    with writing(place.engine) as connection:
        row = connection.execute(select(adaptations).where(adaptations.c.id == original)).one()
        changed = {"id": new_id(), "status": "running", "lease_until": 4e9, "work_digest": None}
        copy = dict(row._mapping) | changed
        connection.execute(insert(adaptations).values(copy))
        record(connection, copy["id"], Status.QUEUED)
        record(connection, copy["id"], Status.RUNNING, worker="host-7", epoch=1)
    return str(copy["id"])


def end(place: Place, adaptation_id: str) -> None:
    with writing(place.engine) as connection:
        mine = update(adaptations).where(adaptations.c.id == adaptation_id)
        connection.execute(mine.values(status="succeeded", lease_until=None))
        record(connection, adaptation_id, Status.SUCCEEDED, epoch=1)
    tell_changed(place.redis, [adaptation_id])


def listed(client: httpx.Client, adaptation_id: str) -> list[object]:
    """All events, gone through in small parts."""
    found: list[object] = []
    after = None
    while True:
        query = {"limit": 7} | ({} if after is None else {"after": after})
        page = client.get(f"/adaptations/{adaptation_id}/events", params=query).json()
        found += page["data"]
        after = page["next"]
        if not page["has_more"]:
            assert after is None
            return found


def test_a_life_is_streamed_from_its_beginning_to_its_end(
    place: Place, client: httpx.Client
) -> None:
    mine = client.post("/adapt", json=sine(), headers=ASYNC).json()["id"]

    with opened(place.service.base_url, mine) as source:
        events = source.read_all()

    assert source.status == 200
    assert source.headers["content-type"].startswith("text/event-stream")
    assert source.headers["cache-control"] == "no-store"
    assert source.headers["x-accel-buffering"] == "no"
    assert [(one["id"], one["event"]) for one in events] == [
        ("1", "adaptation.queued"),
        ("2", "adaptation.running"),
        ("3", "adaptation.succeeded"),
    ]
    assert [json.loads(one["data"]) for one in events] == listed(client, mine)


def test_each_change_arrives_at_once(place: Place, client: httpx.Client) -> None:
    mine = held_row(place, client)

    with opened(place.service.base_url, mine) as source:
        while len(source.events) < 2:
            source.read()
        began = time.monotonic()
        with writing(place.engine) as connection:
            record(connection, mine, "queued", reason="store-unavailable", epoch=1)
        tell_moved(place.redis, [new_id(), mine])
        source.read()
        took = time.monotonic() - began
        end(place, mine)
        source.read_all()

    assert took < 1
    data = [json.loads(one["data"]) for one in source.events]
    assert [one["detail"] for one in data] == [{}, {}, {"reason": "store-unavailable"}, {}]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_stream_cut_anywhere_and_resumed_misses_and_repeats_nothing(
    place: Place, client: httpx.Client, seed: int
) -> None:
    chance, mine, count = random.Random(seed), held_row(place, client), 150

    def happen() -> None:
        own = random.Random(-seed)
        for number in range(count):
            with writing(place.engine) as connection:
                record(connection, mine, own.choice(["queued", "running"]), reason="x" * number)
            if own.random() < 0.8:  # the rest is lost
                tell_moved(place.redis, [mine])
            time.sleep(own.choice([0, 0, 0.01, 0.05]))
        end(place, mine)

    happening = threading.Thread(target=happen)
    happening.start()
    got: list[dict[str, str]] = []
    cuts = 0
    while not got or got[-1]["event"] != "adaptation.succeeded":
        last_id = got[-1]["id"] if got else None
        with opened(place.service.base_url, mine, last_id=last_id) as source:
            assert source.status == 200
            left = chance.randrange(4000)
            while left > 0 and source.read(most := min(left, chance.randrange(1, 400))):
                left -= most
            got += source.events
            cuts += 1
    happening.join()

    assert [int(one["id"]) for one in got] == list(range(1, count + 4))
    assert [json.loads(one["data"]) for one in got] == listed(client, mine)
    assert cuts > 5


def test_who_comes_again_after_the_end_is_told_that_nothing_follows(
    place: Place, client: httpx.Client
) -> None:
    mine = adapt(client, sine())["id"]

    with opened(place.service.base_url, mine, last_id="2") as source:
        events = source.read_all()
    with opened(place.service.base_url, mine, last_id="3") as again:
        assert again.read_all() == []

    assert [one["event"] for one in events] == ["adaptation.succeeded"]
    assert 0 < source.retry_ms <= 3000
    assert again.status == 204


def test_a_deletion_is_the_last_that_a_stream_tells(place: Place, client: httpx.Client) -> None:
    mine = held_row(place, client)

    with opened(place.service.base_url, mine) as source:
        while len(source.events) < 2:
            source.read()
        assert client.delete(f"/adaptations/{mine}").status_code == 204
        events = source.read_all()
    with opened(place.service.base_url, mine, last_id="3") as again:
        assert again.status == 404

    assert [one["event"] for one in events][2:] == ["adaptation.deleted"]


def test_a_cancellation_ends_a_stream(place: Place, client: httpx.Client) -> None:
    mine = held_row(place, client)

    with opened(place.service.base_url, mine) as source:
        client.post(f"/adaptations/{mine}/cancel")
        events = source.read_all()

    assert [one["event"] for one in events][2:] == ["adaptation.cancelled"]


def test_a_hundred_idle_streams_hold_up_nobody_and_one_more_is_refused(
    place: Place, client: httpx.Client
) -> None:
    mine = held_row(place, client)
    with ExitStack() as streams:
        sources = [streams.enter_context(opened(place.service.base_url, mine)) for _ in range(100)]
        for source in sources:
            while len(source.events) < 2:
                source.read()
        beyond = client.get(f"/adaptations/{mine}/events", headers={"Accept": "text/event-stream"})
        adapted = adapt(client, sine())
        with reading(place.engine) as connection:
            if connection.dialect.name == "postgresql":
                time.sleep(2)  # a look takes no second
                held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                held += " AND pid <> pg_backend_pid() AND now() - xact_start > interval '1 second'"
                assert connection.exec_driver_sql(held).scalar_one() == 0
        for source in sources[:50]:
            source.connection.close()
            source.body.close()
    deadline = time.monotonic() + 5
    while True:  # those that went away are seen to have gone
        with opened(place.service.base_url, mine) as source:
            if source.status == 200:
                break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    end(place, mine)

    assert refusal(beyond) == (503, "unavailable")
    assert adapted["status"] == "succeeded"


@pytest.mark.slow
def test_an_idle_stream_says_now_and_then_that_it_lives(place: Place, client: httpx.Client) -> None:
    mine = held_row(place, client)

    with opened(place.service.base_url, mine, timeout_s=15) as source:  # or this raises
        while source.comments < 3:
            source.read()
    end(place, mine)

    assert len(source.events) == 2


def test_streams_end_at_once_when_the_service_stops(tmp_path: Path) -> None:
    with running_service(tmp_path) as service, httpx.Client(base_url=service.base_url) as client:
        engine = open_engine(f"sqlite:///{service.data_dir / 'fewstep.db'}")
        with Redis(port=1) as nobody:
            mine = held_row(Place(service=service, engine=engine, redis=nobody), client)
        engine.dispose()
        with opened(service.base_url, mine) as source:
            while len(source.events) < 2:
                source.read()
            began = time.monotonic()
            stopping = threading.Thread(target=stop, args=(service.process,))
            stopping.start()
            source.read_all()
            took = time.monotonic() - began
            stopping.join()

    assert took < 3


@pytest.mark.parametrize("last_id", ["-1", "abc", "1.5", "", "1" * 10, "\u0661"])
def test_an_id_that_no_event_has_is_refused(client: httpx.Client, last_id: str) -> None:
    mine = adapt(client, sine())["id"]
    headers = {"Accept": "text/event-stream", "Last-Event-ID": last_id.encode()}

    streamed = client.get(f"/adaptations/{mine}/events", headers=headers)  # type: ignore[arg-type]
    read = client.get(f"/adaptations/{mine}/events", params={"after": last_id})

    assert refusal(streamed) == (400, "invalid-cursor")
    assert refusal(read) == (400, "invalid-cursor")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/event-stream", "text/event-stream"),
        ("application/json, TEXT/Event-Stream;q=0.5", "text/event-stream"),
        ("*/*", "application/json"),
        ("text/event-stream;q=0, */*", "application/json"),
        ("text/*", "application/json"),
    ],
)
def test_a_stream_is_for_who_asks_for_one(client: httpx.Client, accept: str, kind: str) -> None:
    mine = adapt(client, sine())["id"]

    answer = client.get(f"/adaptations/{mine}/events", headers={"Accept": accept})

    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert answer.headers["vary"] == "Accept"


def test_a_list_shows_nothing_of_who_worked(place: Place, client: httpx.Client) -> None:
    mine = held_row(place, client)

    answer = client.get(f"/adaptations/{mine}/events")
    end(place, mine)

    assert "host-7" not in answer.text
    assert answer.json()["data"][1]["type"] == "adaptation.running"
    assert answer.json()["data"][1]["id"] == 2
    assert answer.json()["data"][1]["adaptation"] == mine


def test_what_is_wrong_with_a_question_is_said(client: httpx.Client) -> None:
    mine, unknown = adapt(client, sine())["id"], f"ad_{'0' * 32}"
    stream = {"Accept": "text/event-stream"}

    assert refusal(client.get(f"/adaptations/{unknown}/events")) == (404, "not-found")
    assert refusal(client.get(f"/adaptations/{unknown}/events", headers=stream))[0] == 404
    assert refusal(client.get(f"/adaptations/{unknown}/deliveries"))[0] == 404
    for query in ("limit=0", "limit=101", "limit=a", "cursor=1", "after=1&after=2"):
        answer = client.get(f"/adaptations/{mine}/events?{query}")
        assert refusal(answer) == (422, "validation")
    answer = client.get(f"/adaptations/{mine}/events?limit=1", headers=stream)
    assert refusal(answer) == (422, "validation")
