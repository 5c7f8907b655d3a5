"""Two tenants: every route with every verb, with an id of the other's and with one that nobody has:
the answers are the same to the byte.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from app.api.application import create_app
from app.settings import read_settings
from tests.both_kinds import KINDS
from tests.journey.requests import adapt, sine
from tests.surface.test_callers import BOOTSTRAP, caller, key, keyed, tenant
from tests.surface.test_registry import BINARY, renamed

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PATHS = sorted(
    {
        route.path
        for route in create_app(read_settings(redis_url="redis://127.0.0.1:1")).routes
        if isinstance(route, Route)
    }
)
UNKNOWN = {
    "adaptation_id": "ad_" + "0" * 32,
    "key_id": "key_" + "0" * 32,
    "tenant_id": "nobody",
    "name": "nothing",
}
# Routes that ask for no id, each with a body that a caller could mean.
OWN: dict[str, Any] = {
    "/adaptations": {},
    "/adaptations:batch": sine(),
    "/checkpoints": {},
    "/keys": {"name": "mine", "scopes": ["predict"]},
    "/tenants": {"id": "mine"},
    "/webhook-secret/rotate": {},
}
FIXED = {"version": "1", "alias": "best", "code": "not-found"}
# What differs from one answer to the next whatever is asked for.
PASSING = ("date", "x-request-id", "request-id", "server-timing", "ratelimit-remaining")


class World:
    """What tenant A has, and a caller of tenant B that may do everything."""

    def __init__(self, owner: httpx.Client, stranger: httpx.Client, theirs: dict[str, str]) -> None:
        self.owner, self.stranger, self.theirs = owner, stranger, theirs


@pytest.fixture(scope="module", params=KINDS)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    everything = ("adapt", "predict", "checkpoints", "train", "admin")
    with (
        keyed(request.param, tmp_path_factory.mktemp("matrix")) as service,
        caller(service, BOOTSTRAP) as operator,
    ):
        a, b = tenant(operator), tenant(operator)
        owner, other = (key(operator, *everything, tenant=one) for one in (a, b))
        with caller(service, owner["secret"]) as mine, caller(service, other["secret"]) as stranger:
            made = adapt(mine, sine(metadata={"secret": "of a"}))
            theirs = {"adaptation_id": made["id"], "key_id": owner["id"], "tenant_id": a}
            theirs["name"] = upload(mine)
            yield World(mine, stranger, theirs)
            after = mine.get(f"/adaptations/{made['id']}").json()
            assert after == made, "it was changed by a stranger"
            assert mine.get(f"/keys/{owner['id']}").json()["status"] == "live"


def upload(owner: httpx.Client) -> str:
    """The name of a checkpoint that only its owner has."""
    answer = owner.post("/checkpoints", content=renamed("of-a"), headers=BINARY)
    assert answer.status_code == 201, answer.text
    owner.put("/checkpoints/of-a/aliases/best", json={"version": 1})
    return "of-a"


def ask(world: World, verb: str, path: str, ids: dict[str, str]) -> tuple[Any, ...]:
    body: Any = None
    if verb in ("POST", "PUT", "PATCH"):
        body = bodies(path, ids)
    headers = {"Content-Type": "application/json", "Prefer": "respond-async"}
    answer = world.stranger.request(
        verb,
        path.format(**FIXED | ids),
        params=query(verb, path, ids),
        content=None if body is None else json.dumps(body),
        headers=headers if body is not None else {},
        follow_redirects=False,
    )
    kept = {k: v for k, v in answer.headers.items() if k not in PASSING}
    return answer.status_code, answer.content, kept


def query(verb: str, path: str, ids: dict[str, str]) -> dict[str, str]:
    if path == "/predict" and verb in ("GET", "HEAD"):
        return {"adaptation": ids["adaptation_id"], "input": "0.5"}
    return {"format": "safetensors"} if path.endswith("/{adaptation_id}/parameters") else {}


def bodies(path: str, ids: dict[str, str]) -> Any:
    if path == "/predict":
        return {"adaptation": ids["adaptation_id"], "inputs": [0.5]}
    if path == "/adapt":
        return {"extends": ids["adaptation_id"], "support": sine()["support"]}
    if path.endswith("/infer"):
        return {"inputs": [{"name": "input", "shape": [1, 1], "datatype": "FP32", "data": [0.5]}]}
    return {"version": 1} if "aliases" in path else {"name": "x"}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("path", PATHS)
def test_what_is_anothers_is_as_if_it_were_not(world: World, path: str, verb: str) -> None:
    if path in OWN:
        check_own(world, path, verb)
        return

    theirs = ask(world, verb, path, UNKNOWN | world.theirs)
    nobodys = ask(world, verb, path, UNKNOWN)

    assert theirs == nobodys
    assert theirs[0] < 500


def check_own(world: World, path: str, verb: str) -> None:
    """Where no id is asked for: nothing of the other tenant is told, and nothing of it changes."""
    before = what_is_theirs(world)

    answer = world.stranger.request(
        verb,
        path,
        content=json.dumps(OWN[path]) if verb in ("POST", "PUT", "PATCH") else None,
        headers={"Content-Type": media_type(path)} if verb in ("POST", "PUT", "PATCH") else {},
    )

    told = answer.text + str(answer.headers)
    assert not any(one in told for one in world.theirs.values())
    assert answer.status_code < 500
    assert what_is_theirs(world) == before


def what_is_theirs(world: World) -> list[Any]:
    """All that the owner can list of its own."""
    lists = [world.owner.get(path).json() for path in ("/adaptations", "/keys", "/checkpoints")]
    shown = [world.owner.get(f"/tenants/{world.theirs['tenant_id']}").json()]
    return [*lists, *shown, world.owner.get("/webhook-secret").json()]


def media_type(path: str) -> str:
    return "application/x-ndjson" if path == "/adaptations:batch" else "application/json"


ROLLOUT = {"observations": [[0.0], [0.0]], "actions": [[0.0]], "rewards": [0.0], "truncated": True}


@pytest.mark.parametrize("parameter", ["checkpoint", "extends", "continues"])
def test_what_an_order_names_of_anothers_is_not_found(world: World, parameter: str) -> None:
    known = "name" if parameter == "checkpoint" else "adaptation_id"
    given = sine()["support"] if parameter != "continues" else [ROLLOUT]
    name = "support" if parameter != "continues" else "rollouts"

    answers = [
        world.stranger.post("/adapt", json={parameter: ids[known], name: given})
        for ids in (world.theirs, UNKNOWN)
    ]

    assert [one.status_code for one in answers] == [404, 404]
    assert answers[0].content == answers[1].content
