"""Rollouts that nobody should send: whatever they are, the answer is a refusal or an adaptation."""

import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.both_kinds import EMBEDDED, running_kind
from tests.policies.world import collect

SEED, TRIES = 20261127, 250
ODD = (None, True, "x", 1e39, -1e400, 0, [], {}, [[]], [[1e308] * 3], 2**70, "NaN", [None], -0.0)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        running_kind(EMBEDDED, tmp_path_factory.mktemp("fuzz")) as service,
        httpx.Client(base_url=service.base_url, timeout=60) as client,
    ):
        yield client


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, the outermost first."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        if isinstance(part, dict | list):
            yield from places(part, (*path, key))
        else:
            yield (*path, key)


def spoiled(body: Any, draw: random.Random) -> Any:
    """A copy in which one place is gone, doubled, or something odd."""
    copy = json.loads(json.dumps(body))
    *way, last = draw.choice(list(places(copy))[1:])
    around = copy
    for key in way:
        around = around[key]
    how = draw.randrange(3)
    if how == 0:
        del around[last]
    elif how == 1 and isinstance(around, list):
        around.insert(last, around[last])
    else:
        around[last] = draw.choice(ODD)
    return copy


def test_no_rollouts_are_a_mistake_of_the_service(client: httpx.Client) -> None:
    draw = random.Random(SEED)
    whose = {"checkpoint": "point-navigation"}
    body = whose | {"rollouts": collect(client, whose, (0.2, 0.1), episodes=5, steps=4)}
    statuses = set()
    for _ in range(TRIES):
        sent = spoiled(body, draw)
        if draw.random() < 0.5 and isinstance(sent, dict):
            sent = spoiled(sent, draw)
        answer = client.post(
            "/adapt",
            content=json.dumps(sent).replace("-Infinity", "-1e999").replace("Infinity", "1e999"),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code < 500, (answer.text, sent)
        assert "Traceback" not in answer.text
        statuses.add(answer.status_code)

    assert {201, 422} <= statuses
    assert client.post("/adapt", json=body).status_code == 201
