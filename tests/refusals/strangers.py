"""Cases where keys are in use: no key, a bad one, somebody else's things; and a slow body."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from app.db.connections import writing
from app.db.keys import create_key, list_keys, revoke_key
from app.values.caller import Scope
from tests.refusals.calls import JSON_BODY, Answer, Call, get, post, predict, send
from tests.refusals.case import accepted, refused, same_bytes
from tests.refusals.world import SINE, UNKNOWN, World

OWN_KEY = "fs_" + "0123456789abcdef" * 4
NEVER_ISSUED = "fs_" + "f" * 43
BODY = json.dumps(SINE).encode()


class Guarded(World):
    """A service that asks for keys; the client carries none of its own accord."""

    @cached_property
    def other_key(self) -> str:
        return self._key("other", None)

    @cached_property
    def expired_key(self) -> str:
        secret = self._key("default", 0.001)
        time.sleep(0.01)
        return secret

    @cached_property
    def revoked_key(self) -> str:
        secret = self._key("default", None)
        with writing(self.engine) as connection:
            assert revoke_key(connection, list_keys(connection)[-1].id)
        return secret

    @cached_property
    def theirs(self) -> str:
        """An adaptation of the other tenant."""
        made = send(self.client, by(self.other_key, post(SINE)))
        assert made.status == 201
        return str(made.json["id"])

    @cached_property
    def sine(self) -> str:
        return self.theirs

    def key_for(self, *scopes: Scope) -> str:
        return self._key("default", None, scopes)

    def shown(self, adaptation_id: str) -> Answer:
        """As its owner sees it."""
        return send(self.client, by(self.other_key, get(f"/adaptations/{adaptation_id}")))

    def _key(
        self, tenant: str, lifetime_s: float | None, scopes: Sequence[Scope] = tuple(Scope)
    ) -> str:
        with writing(self.engine) as connection:
            return create_key(
                connection, tenant_id=tenant, name="", lifetime_s=lifetime_s, scopes=scopes
            )


def bearer(key: str | bytes) -> tuple[str, str | bytes]:
    return "Authorization", b"Bearer " + key if isinstance(key, bytes) else f"Bearer {key}"


def by(key: str, call: Call) -> Call:
    """The call with a key."""
    return replace(call, headers=[*call.headers, bearer(key)])


def saying(*values: str | bytes) -> list[Call]:
    return [post(SINE, ("Authorization", value)) for value in values]


def own_and_theirs(world: Guarded, path: str) -> list[Call]:
    """The other tenant's adaptation, and one that nobody has."""
    return [by(OWN_KEY, get(path.format(one))) for one in (world.theirs, UNKNOWN)]


def in_body(world: Guarded) -> list[Call]:
    bodies = [{"adaptation": one, "inputs": [1.0]} for one in (world.theirs, UNKNOWN)]
    return [by(OWN_KEY, post(body, path="/predict")) for body in bodies]


def unchanged(world: Guarded) -> list[Call]:
    """Also where the asker knows what it would be."""
    tag = send(
        world.client,
        by(world.other_key, get(f"/adaptations/{world.theirs}/parameters?format=safetensors")),
    ).headers["etag"]
    path = f"/adaptations/{world.theirs}"
    return [
        by(OWN_KEY, get(path, ("If-None-Match", tag))),
        by(OWN_KEY, get(f"{path}?wait=1")),
        by(OWN_KEY, get(f"/adaptations/{UNKNOWN}")),
    ]


def left_as_it_was(world: Guarded, method: str, path: str = "", **body: str) -> Iterator[Call]:
    """The other tenant's, running, and one that nobody has; its owner sees the same afterwards."""
    before = world.shown(world.running)
    assert before.json["status"] == "running"
    for one in (world.running, UNKNOWN):
        where = f"/adaptations/{one}{path}"
        call = post(body, path=where) if body else Call(path=where)
        yield by(OWN_KEY, replace(call, method=method))
    assert world.shown(world.running).body == before.body


def without_scope(world: Guarded) -> Iterator[Call]:
    before = world.count()
    yield by(world.key_for(Scope.PREDICT), post(SINE))
    assert world.count() == before


def unread(world: Guarded) -> Iterator[Call]:
    """A checkpoint of which not one byte is sent."""
    headers = [("Content-Type", "application/octet-stream"), ("Content-Length", "1000000")]
    key = world.key_for(Scope.ADAPT, Scope.PREDICT)
    yield by(key, Call(path="/checkpoints?name=x", headers=headers, chunks=lambda: ()))


def inferring(world: Guarded) -> list[Call]:
    tensor = {"name": "input", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}
    return [
        by(OWN_KEY, post({"inputs": [tensor]}, path=f"/v2/models/{one}/infer"))
        for one in (world.theirs, UNKNOWN)
    ]


def extending(world: Guarded) -> list[Call]:
    bodies = [{"extends": one, "support": SINE["support"]} for one in (world.theirs, UNKNOWN)]
    return [by(OWN_KEY, post(body)) for body in bodies]


def with_one_key_word(world: Guarded) -> Iterator[Call]:
    for key in (OWN_KEY, world.other_key):
        body = SINE | {"steps": 1 if key == OWN_KEY else 2}
        yield by(key, post(body, ("Idempotency-Key", "both")))


def are_apart(world: World, answers: Sequence[Answer]) -> None:
    assert len({answer.json["id"] for answer in answers}) == len(answers)


def challenges(world: World, answers: Sequence[Answer]) -> None:
    same_bytes(world, answers)
    assert all("Bearer" in answer.headers["www-authenticate"] for answer in answers)


def slow(world: Guarded) -> Iterator[Call]:
    """A sound body, a byte now and then; somebody else is served meanwhile."""

    def drops() -> Iterator[bytes]:
        for byte in BODY:
            yield bytes([byte])
            time.sleep(0.2)
            assert world.client.get("/livez").status_code == 200

    length = ("Content-Length", str(len(BODY)))
    yield Call(headers=[JSON_BODY, length, bearer(OWN_KEY)], chunks=drops)


def is_cut(world: World, answers: Sequence[Answer]) -> None:
    assert answers[0].closed


STRANGERS = [
    refused("B004", 400, "bad-request", slow, then=is_cut, within_s=8),
    refused(
        "B154",
        401,
        "unauthenticated",
        lambda w: [post(SINE), post(SINE, path=f"/adapt?key={OWN_KEY}", hidden=[OWN_KEY])],
        then=challenges,
    ),
    refused(
        "B155",
        401,
        "unauthenticated",
        lambda w: saying(
            "Bearer", "Basic !!!", f"Bearer sk_{'a' * 43}", f"Bearer {NEVER_ISSUED}", "Digest x"
        ),
        then=challenges,
    ),
    refused(
        "B156",
        401,
        "unauthenticated",
        lambda w: [by(key, post(SINE)) for key in (NEVER_ISSUED, w.revoked_key, w.expired_key)],
        then=challenges,
    ),
    refused(
        "B157",
        401,
        "unauthenticated",
        lambda w: saying(
            f"Bearer fs_{'a' * 10_000}", b"Bearer fs_\xc3\xa9" + b"a" * 42, f"Bearer {NEVER_ISSUED}"
        ),
        then=challenges,
    ),
    refused(
        "B158",
        400,
        "bad-request",
        lambda w: [by(w.other_key, post(SINE, bearer(OWN_KEY)))],
    ),
    refused(
        "B161",
        404,
        "not-found",
        lambda w: [
            by(OWN_KEY, predict(adaptation=one, input="1.0")) for one in (w.theirs, UNKNOWN)
        ],
        then=same_bytes,
    ),
    refused("B162", 404, "not-found", in_body, then=same_bytes),
    refused("B163", 404, "not-found", unchanged, then=same_bytes),
    refused(
        "B164",
        404,
        "not-found",
        lambda w: [
            by(OWN_KEY, get(f"/adaptations/{one}/events", *accept))
            for one in (w.theirs, UNKNOWN)
            for accept in ([("Accept", "text/event-stream")], [])
        ],
        then=same_bytes,
    ),
    refused(
        "deliveries",
        404,
        "not-found",
        lambda w: own_and_theirs(w, "/adaptations/{}/deliveries"),
        then=same_bytes,
    ),
    refused(
        "B165",
        404,
        "not-found",
        lambda w: own_and_theirs(w, "/adaptations/{}/parameters?format=safetensors"),
        then=same_bytes,
    ),
    refused("B159", 403, "forbidden", without_scope),
    refused("B160", 403, "forbidden", unread),
    refused("B166", 404, "not-found", lambda w: left_as_it_was(w, "DELETE"), then=same_bytes),
    refused(
        "B167", 404, "not-found", lambda w: left_as_it_was(w, "PATCH", name="x"), then=same_bytes
    ),
    refused(
        "B168", 404, "not-found", lambda w: left_as_it_was(w, "POST", "/cancel"), then=same_bytes
    ),
    refused("B170", 404, "not-found", inferring, then=same_bytes),
    refused("B169", 404, "not-found", extending, then=same_bytes),
    accepted("B179", with_one_key_word, then=are_apart),
]
