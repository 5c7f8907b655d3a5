"""Keys, scopes, tenants and their limits, over HTTP, on both kinds of service."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.both_kinds import KINDS, running_kind
from tests.journey.requests import adapt, refusal, sine
from tests.processes import Service, running_service

BOOTSTRAP = "fs_" + "0123456789abcdef" * 4

Json = dict[str, Any]


@contextmanager
def keyed(kind: str, folder: Any, **variables: str) -> Iterator[Service]:
    """A service with the operator's first key."""
    with running_kind(kind, folder, FEWSTEP_BOOTSTRAP_KEY=BOOTSTRAP, **variables) as service:
        yield service


@pytest.fixture(scope="module", params=KINDS)
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("callers")
    with keyed(request.param, folder, FEWSTEP_SWEEP_S="0.2") as service:
        yield service


@pytest.fixture
def operator(house: Service) -> Iterator[httpx.Client]:
    with caller(house, BOOTSTRAP) as client:
        yield client


def caller(service: Service, secret: str) -> httpx.Client:
    return httpx.Client(
        base_url=service.base_url, headers={"Authorization": f"Bearer {secret}"}, timeout=90
    )


def key(client: httpx.Client, *scopes: str, **more: Any) -> Json:
    answer = client.post("/keys", json={"scopes": list(scopes), **more})
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made


def tenant(operator: httpx.Client) -> str:
    """The id of a new one."""
    name = "t" + uuid4().hex[:12]
    assert operator.post("/tenants", json={"id": name}).status_code == 201
    return name


def test_a_key_is_shown_once_and_can_do_what_it_is_for(
    house: Service, operator: httpx.Client
) -> None:
    made = key(operator, "predict", name="scanner", expires_in_seconds=3600)

    assert made["secret"].startswith("fs_")
    shown = operator.get(f"/keys/{made['id']}").json()
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert made["secret"] not in operator.get("/keys").text
    with caller(house, made["secret"]) as client:
        assert client.get("/predict?checkpoint=sinusoid&input=0.5").status_code == 200
        assert refusal(client.post("/adapt", json=sine())) == (403, "forbidden")
        assert refusal(client.get("/keys")) == (403, "forbidden")


def test_a_key_that_is_asked_for_again_comes_without_its_secret(operator: httpx.Client) -> None:
    retry = {"Idempotency-Key": uuid4().hex}
    first = operator.post("/keys", json={"name": "a"}, headers=retry)
    again = operator.post("/keys", json={"name": "a"}, headers=retry)

    assert first.status_code == again.status_code == 201
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json() | {"secret": None}
    other = operator.post("/keys", json={"name": "b"}, headers=retry)
    assert refusal(other) == (422, "idempotency-mismatch")
    elsewhere = operator.post("/tenants", json={"id": "other"}, headers=retry)
    assert refusal(elsewhere) == (422, "idempotency-mismatch")


def test_no_key_gives_what_it_lacks(house: Service, operator: httpx.Client) -> None:
    name = tenant(operator)
    made = key(operator, "admin", "predict", tenant=name)
    with caller(house, made["secret"]) as admin:
        assert refusal(admin.post("/keys", json={"scopes": ["adapt"]})) == (403, "forbidden")
        wanted = {"scopes": ["predict"], "tenant": "default"}
        assert refusal(admin.post("/keys", json=wanted)) == (403, "forbidden")
        assert key(admin, "predict")["tenant"] == name


def test_a_revoked_key_ends_at_once(house: Service, operator: httpx.Client) -> None:
    made = key(operator, "predict")
    with caller(house, made["secret"]) as client:
        assert client.get("/limits").status_code == 200

        assert operator.delete(f"/keys/{made['id']}").status_code == 204

        assert refusal(client.get("/limits")) == (401, "unauthenticated")
    assert operator.get(f"/keys/{made['id']}").json()["status"] == "revoked"
    assert refusal(operator.delete(f"/keys/{made['id']}")) == (404, "not-found")


def test_the_last_administrator_stays(house: Service, operator: httpx.Client) -> None:
    name = tenant(operator)
    made = key(operator, "admin", tenant=name)
    with caller(house, made["secret"]) as admin:
        assert refusal(admin.delete(f"/keys/{made['id']}")) == (409, "conflict")
        second = key(admin, "admin")
        assert admin.delete(f"/keys/{second['id']}").status_code == 204
        listed = admin.get("/keys").json()["data"]
        assert [one["status"] for one in listed] == ["live", "revoked"]


def test_keys_are_listed_in_parts(house: Service, operator: httpx.Client) -> None:
    made = key(operator, "admin", "predict", tenant=tenant(operator))
    with caller(house, made["secret"]) as admin:
        ids = [made["id"], *(key(admin, "predict")["id"] for _ in range(4))]
        first = admin.get("/keys", params={"limit": 3}).json()
        second = admin.get("/keys", params={"limit": 3, "after": first["next"]}).json()
        assert [one["id"] for one in first["data"] + second["data"]] == ids
        assert second["next"] is None
    stolen = operator.get("/keys", params={"after": first["next"]})
    assert refusal(stolen) == (400, "invalid-cursor")


@pytest.mark.parametrize(
    "body",
    [
        {"scopes": []},
        {"scopes": ["everything"]},
        {"scopes": "admin"},
        {"expires_in_seconds": 0},
        {"tenant": "Not A Tenant"},
        {"tenant": "shared"},
        {"secret": "fs_mine"},
        {"name": "a\nb"},
    ],
)
def test_a_key_that_cannot_be_is_refused(operator: httpx.Client, body: Json) -> None:
    assert refusal(operator.post("/keys", json=body)) == (422, "validation")


def test_a_tenant_sees_itself_and_nobody_else(house: Service, operator: httpx.Client) -> None:
    mine, theirs = tenant(operator), tenant(operator)
    made = key(operator, "admin", tenant=mine)
    with caller(house, made["secret"]) as admin:
        assert admin.get(f"/tenants/{mine}").json()["id"] == mine
        for name in (theirs, "default", "shared", "nobody", "Not-One"):
            assert refusal(admin.get(f"/tenants/{name}")) == (404, "not-found")
        assert admin.get(f"/tenants/{theirs}").content == admin.get("/tenants/nobody").content
        assert refusal(admin.get("/tenants")) == (403, "forbidden")
        assert refusal(admin.patch(f"/tenants/{mine}", json={"limits": None})) == (403, "forbidden")
        assert refusal(admin.delete(f"/tenants/{mine}")) == (403, "forbidden")
        assert refusal(admin.post("/tenants", json={"id": "x"})) == (403, "forbidden")
    assert mine in [one["id"] for one in operator.get("/tenants").json()["data"]]
    assert refusal(operator.post("/tenants", json={"id": mine})) == (409, "conflict")
    assert refusal(operator.delete("/tenants/default")) == (409, "conflict")
    assert refusal(operator.delete("/tenants/shared")) == (404, "not-found")


def test_b093_a_rate_is_told_on_every_answer_and_kept_to(
    house: Service, operator: httpx.Client
) -> None:
    name = tenant(operator)
    limits = {"limits": {"requests_per_minute": 5}}
    assert operator.patch(f"/tenants/{name}", json=limits).json()["limits"] == limits["limits"]
    made = key(operator, "adapt", "predict", tenant=name)
    with caller(house, made["secret"]) as client:
        answers = [client.get("/limits") for _ in range(6)]
        late = client.post("/adapt", content=b"x" * 100)  # refused before its body is looked at

        forbidden = client.get("/keys")  # what the key may not do counts as well

    assert refusal(forbidden) == (429, "rate-limited")
    assert [one.status_code for one in answers] == [200] * 5 + [429]
    assert [one.headers["RateLimit-Remaining"] for one in answers] == list("432100")
    assert {one.headers["RateLimit-Limit"] for one in answers} == {"5"}
    assert refusal(late) == (429, "rate-limited")
    assert 1 <= int(late.headers["Retry-After"]) <= 120
    assert late.headers["RateLimit-Remaining"] == "0"
    assert operator.get("/limits").status_code == 200
    assert "RateLimit-Limit" not in operator.get("/limits").headers


def test_a_tenant_has_no_more_at_once_than_it_may(house: Service, operator: httpx.Client) -> None:
    name = tenant(operator)
    assert operator.patch(f"/tenants/{name}", json={"limits": {"adaptations_at_once": 3}})
    made = key(operator, "adapt", tenant=name)
    lines = [json.dumps(sine(5 + i, assess=True)) for i in range(12)]
    with caller(house, made["secret"]) as client:
        answer = client.post(
            "/adaptations:batch",
            content="\n".join(lines),
            headers={"Content-Type": "application/x-ndjson"},
        )
        told = [json.loads(line) for line in answer.text.splitlines()]
        assert [one.get("code") for one in told] == [None] * 3 + ["rate-limited"] * 9
        adapt(client, sine())  # those have ended


def test_a_deleted_customer_is_gone_with_all_it_had(house: Service, operator: httpx.Client) -> None:
    name = tenant(operator)
    made = key(operator, "adapt", "predict", tenant=name)
    with caller(house, made["secret"]) as client:
        adaptation = adapt(client, sine())

        assert operator.delete(f"/tenants/{name}").status_code == 202

        assert refusal(client.get(f"/adaptations/{adaptation['id']}")) == (401, "unauthenticated")
    assert refusal(operator.get(f"/tenants/{name}")) == (404, "not-found")
    assert refusal(operator.delete(f"/tenants/{name}")) == (404, "not-found")
    deadline = time.monotonic() + 20
    while operator.post("/tenants", json={"id": name}).status_code != 201:  # when all is gone
        assert time.monotonic() < deadline
        time.sleep(0.2)
    fresh = key(operator, "adapt", tenant=name)
    with caller(house, fresh["secret"]) as client:
        assert client.get("/adaptations").json()["data"] == []
    assert operator.get(f"/keys/{made['id']}").status_code == 404


@pytest.mark.parametrize("kind", KINDS)
def test_b094_a_full_queue_takes_no_more(
    kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("full")
    with (
        keyed(kind, folder, FEWSTEP_QUEUE_LIMIT="2") as service,
        caller(service, BOOTSTRAP) as client,
    ):
        lines = [json.dumps(sine(5, phase=i / 9, adapts="auto", assess=True)) for i in range(9)]
        answer = client.post(
            "/adaptations:batch",
            content="\n".join(lines),
            headers={"Content-Type": "application/x-ndjson"},
        )
        told = [json.loads(line) for line in answer.text.splitlines()]
        assert [one.get("code") for one in told] == [None] * 2 + ["queue-full"] * 7
        assert len(client.get("/adaptations").json()["data"]) == 2


def test_the_first_key_over_http_must_be_able_to_make_another(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running_service(tmp_path_factory.mktemp("first")) as service:
        with httpx.Client(base_url=service.base_url, timeout=90) as anybody:
            assert refusal(anybody.post("/keys", json={"scopes": ["predict"]})) == (409, "conflict")
            assert anybody.get("/limits").status_code == 200
            made = key(anybody, "admin", "adapt", "predict")
            assert refusal(anybody.get("/limits")) == (401, "unauthenticated")
        with caller(service, made["secret"]) as admin:
            assert admin.get("/keys").status_code == 200


def test_usage_is_told_by_key_and_by_day(house: Service, operator: httpx.Client) -> None:
    name = tenant(operator)
    admin = key(operator, "admin", "adapt", "predict", tenant=name)
    with caller(house, admin["secret"]) as mine:
        other = key(mine, "predict")
        made = adapt(mine, sine(7, steps=4))
        inputs = {"adaptation": made["id"], "inputs": [0.1, 0.2, 0.3]}
        with caller(house, other["secret"]) as client:
            assert client.post("/predict", json=inputs).status_code == 200
            usage = settled_usage(client, "predictions", 3)
            assert usage["total"] == {"predictions": 3.0}
            assert [one["key"] for one in usage["data"]] == [other["id"]]
        whole = settled_usage(mine, "predictions", 3)
        assert whole["tenant"] == name
        assert {one["key"] for one in whole["data"]} == {admin["id"], other["id"]}
        told = whole["total"]
        assert told.pop("adapt_ms") > 0
        expected = {"adaptations": 1, "support_examples": 7, "inner_steps": 4, "predictions": 3}
        assert told == expected
        past = mine.get("/usage", params={"to": "2020-01-01"}).json()
        assert (past["data"], past["from"]) == ([], "2019-12-02")
        for wrong in ({"from": "yesterday"}, {"to": "2026-13-01"}, {"day": "2026-01-01"}):
            assert refusal(mine.get("/usage", params=wrong)) == (422, "validation")


def settled_usage(client: httpx.Client, counted: str, amount: float) -> Json:
    """The usage when what was counted in memory is written down."""
    deadline = time.monotonic() + 15
    while True:
        usage: Json = client.get("/usage").json()
        if usage["total"].get(counted) == amount or time.monotonic() > deadline:
            return usage
        time.sleep(0.3)


def test_b174_wrong_keys_are_refused_for_their_number_and_right_ones_are_served(
    house: Service, operator: httpx.Client
) -> None:
    """A thousand of them within a minute from one address, each another."""
    with httpx.Client(base_url=house.base_url, timeout=90) as stranger:
        answers = [
            stranger.post("/adapt", json={}, headers={"Authorization": f"Bearer fs_{n:064x}"})
            for n in range(1000)
        ]
        nobody = stranger.get("/limits")

    told = [refusal(one) for one in answers]
    limited = told.index((429, "rate-limited"))
    assert 500 < limited < 700  # a minute's end may fall into it
    assert set(told[:limited]) == {(401, "unauthenticated")}
    assert 1 <= int(answers[limited].headers["Retry-After"]) <= 60
    assert "RateLimit-Limit" not in answers[limited].headers
    assert refusal(nobody) == (401, "unauthenticated")
    assert operator.get("/limits").status_code == 200  # from the same address
    if os.path.exists("/proc"):  # all of 127/8 is the machine's own
        with httpx.Client(
            base_url=house.base_url, transport=httpx.HTTPTransport(local_address="127.0.0.2")
        ) as elsewhere:
            wrong = {"Authorization": "Bearer fs_" + "f" * 64}
            assert refusal(elsewhere.post("/adapt", json={}, headers=wrong)) == (
                401,
                "unauthenticated",
            )
