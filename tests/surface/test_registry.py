"""The registry over HTTP: checkpoints uploaded, named, rolled back, taken away and ended."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.journey.requests import adapt, refusal, sine
from tests.processes import Service, running_service

SINUSOID = Path(__file__).parents[2] / "models" / "checkpoints" / "sinusoid.safetensors"
BINARY = {"Content-Type": "application/octet-stream"}

Json = dict[str, Any]


def renamed(name: str, **changes: Any) -> bytes:
    """The shipped sinusoid under another name, its metadata changed besides."""
    data = SINUSOID.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    about = json.loads(header["__metadata__"]["fewstep"]) | {"name": name} | changes
    header["__metadata__"]["fewstep"] = json.dumps(about)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def put(client: httpx.Client, data: bytes, **headers: str) -> httpx.Response:
    return client.post("/checkpoints", content=data, headers=BINARY | headers)


@pytest.fixture(scope="module")
def name() -> str:
    return f"sine-{uuid4().hex[:8]}"


@pytest.fixture
def uploaded(client: httpx.Client, name: str) -> list[Json]:
    """Two versions of one name."""
    answers = [put(client, renamed(name, provenance={"try": i})) for i in (1, 2)]
    assert {answer.status_code for answer in answers} <= {200, 201}, answers[0].text
    return [answer.json() for answer in answers]


def test_what_is_uploaded_adapts_like_the_shipped_one_it_equals(
    client: httpx.Client, name: str, uploaded: list[Json]
) -> None:
    assert [one["version"] for one in uploaded] == [1, 2]
    place = f"/checkpoints/{name}/versions/2"
    assert client.get(place).json() == uploaded[1]
    own = adapt(client, sine(6) | {"checkpoint": name})
    assert own["checkpoint"]["version"] == 2
    shipped = adapt(client, sine(6))
    assert own["metrics"] == shipped["metrics"]


def test_the_same_bytes_are_the_same_version(
    client: httpx.Client, name: str, uploaded: list[Json]
) -> None:
    again = put(client, renamed(name, provenance={"try": 2}))

    assert again.status_code == 200
    assert again.json() == uploaded[1]
    assert again.headers["Location"] == f"/checkpoints/{name}/versions/2"


def test_an_upload_sent_again_under_its_key_leads_to_the_same_version(
    client: httpx.Client,
) -> None:
    key, data = uuid4().hex, renamed(f"sine-{uuid4().hex[:8]}")
    first = put(client, data, **{"Idempotency-Key": key})
    again = put(client, data, **{"Idempotency-Key": key})

    assert (first.status_code, again.status_code) == (201, 201)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()
    other = put(client, data[:-4] + b"\0\0\0\0", **{"Idempotency-Key": key})
    assert refusal(other) == (422, "idempotency-mismatch")


def test_theta_comes_back_as_it_was_sent(
    client: httpx.Client, name: str, uploaded: list[Json]
) -> None:
    place = f"/checkpoints/{name}/versions/1/parameters"
    data = renamed(name, provenance={"try": 1})

    answer = client.get(place)

    assert answer.content == data
    assert uploaded[0]["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    same = client.get(place, headers={"If-None-Match": answer.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")


def test_an_alias_rolls_back_and_forth(
    client: httpx.Client, name: str, uploaded: list[Json]
) -> None:
    alias = f"/checkpoints/{name}/aliases/stable"

    first = client.put(alias, json={"version": 1})
    moved = client.put(alias, json={"version": 2})

    assert (first.status_code, moved.status_code) == (201, 200)
    assert moved.json()["aliases"] == ["stable"]
    assert adapt(client, sine(6) | {"checkpoint": f"{name}@stable"})["checkpoint"]["version"] == 2
    assert client.get(f"/checkpoints/{name}@stable").json()["version"] == 2
    assert refusal(client.put(alias, json={"version": 999})) == (404, "not-found")
    assert client.get(f"/checkpoints/{name}@stable").json()["version"] == 2
    assert client.delete(alias).status_code == 204
    assert refusal(client.delete(alias)) == (404, "not-found")
    assert refusal(client.get(f"/checkpoints/{name}@stable")) == (404, "not-found")


def test_the_alias_default_is_what_the_name_alone_stands_for(
    client: httpx.Client, name: str, uploaded: list[Json]
) -> None:
    default = f"/checkpoints/{name}/aliases/default"
    assert client.get(f"/checkpoints/{name}").json()["version"] == 2

    client.put(default, json={"version": 1})

    assert client.get(f"/checkpoints/{name}").json()["version"] == 1
    assert adapt(client, sine(7) | {"checkpoint": name})["checkpoint"]["version"] == 1
    client.delete(default)
    assert client.get(f"/checkpoints/{name}").json()["version"] == 2


def test_a_shipped_one_can_have_an_alias_and_stays(client: httpx.Client) -> None:
    alias = f"/checkpoints/sinusoid/aliases/a{uuid4().hex[:8]}"

    assert client.put(alias, json={"version": 1}).status_code == 201

    assert refusal(client.delete("/checkpoints/sinusoid/versions/1")) == (403, "forbidden")
    assert client.delete(alias).status_code == 204


def test_what_something_needs_stays_until_nothing_does(client: httpx.Client) -> None:
    name = f"sine-{uuid4().hex[:8]}"
    assert put(client, renamed(name)).status_code == 201
    place = f"/checkpoints/{name}/versions/1"
    client.put(f"/checkpoints/{name}/aliases/live", json={"version": 1})
    made = adapt(client, sine(6) | {"checkpoint": name})

    aliased = client.delete(place)
    client.delete(f"/checkpoints/{name}/aliases/live")
    adapted = client.delete(place)
    client.delete(f"/adaptations/{made['id']}")
    free = client.delete(place)

    assert refusal(aliased) == refusal(adapted) == (409, "in-use")
    assert "alias" in aliased.json()["detail"]
    assert "adaptations" in adapted.json()["detail"]
    assert free.status_code == 204
    for gone in (
        client.get(place),
        client.get(f"{place}/parameters"),
        client.delete(place),
        client.get(f"/checkpoints/{name}"),
        client.post("/adapt", json=sine(6) | {"checkpoint": name}),
    ):
        assert refusal(gone) == (404, "not-found")
    assert name not in client.get("/checkpoints").text
    revived = put(client, renamed(name))
    assert (revived.status_code, revived.json()["version"]) == (201, 1)
    assert put(client, renamed(name, provenance={"new": 1})).json()["version"] == 2


def test_an_upload_leaves_nothing_behind(service: Service, client: httpx.Client) -> None:
    put(client, renamed(f"sine-{uuid4().hex[:8]}"))
    put(client, b"not one")

    uploads = service.data_dir / "uploads"
    deadline = time.monotonic() + 5
    while list(uploads.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(uploads.iterdir()) == []


def test_b147_a_file_beyond_the_limit_is_refused_as_soon_as_it_is(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("limit")
    with (
        running_service(folder, FEWSTEP_CHECKPOINT_LIMIT_MIB="1") as service,
        httpx.Client(base_url=service.base_url, timeout=90) as client,
    ):
        assert client.get("/limits").json()["checkpoint_bytes"] == 2**20
        whole = put(client, b"x" * (2**20 + 1))
        in_parts = client.post(
            "/checkpoints", content=(b"x" * 2**16 for _ in range(17)), headers=BINARY
        )

        assert refusal(whole) == refusal(in_parts) == (413, "payload-too-large")
        assert list((service.data_dir / "uploads").iterdir()) == []
