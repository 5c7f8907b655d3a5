"""Cases of adaptations that are changed, cancelled, deleted, extended or sent as many."""

import json
from collections.abc import Iterator, Sequence

from tests.refusals.calls import JSON_BODY, Answer, Call, post, predict, send
from tests.refusals.case import accepted, refused, same_bytes
from tests.refusals.pictures import url
from tests.refusals.world import SINE, UNKNOWN, World, letters

MORE = {"inputs": [3.0], "targets": [0.1]}
NDJSON = ("Content-Type", "application/x-ndjson")


def changes(world: World) -> Iterator[Call]:
    path = f"/adaptations/{world.sine}"
    before = world.client.get(path).json()
    for body in ({"status": "succeeded"}, {"steps": 9}, {"ttl_seconds": -5}):
        yield Call(method="PATCH", path=path, headers=[JSON_BODY], body=json.dumps(body).encode())
    assert world.client.get(path).json() == before


def lines(world: World) -> Iterator[Call]:
    empty = SINE | {"support": {"inputs": [], "targets": []}}
    body = b"\n".join([json.dumps(SINE).encode(), b'{"checkpoint":', json.dumps(empty).encode()])
    yield Call(path="/adaptations:batch", headers=[NDJSON], body=body)


def in_order(world: World, answers: Sequence[Answer]) -> None:
    [answer] = answers
    told = [json.loads(line) for line in answer.body.splitlines()]
    assert [one.get("code", one["status"]) for one in told] == [
        "succeeded",
        "invalid-json",
        "empty-support",
    ]
    assert [one["status"] for one in told[1:]] == [400, 422]


def cancelled(world: World) -> Iterator[Call]:
    path = f"/adaptations/{world.sine}"
    yield Call(path=f"{path}/cancel")
    assert world.client.get(path).json()["status"] == "succeeded"


def deleted_twice(world: World) -> Iterator[Call]:
    gone = world.adapt(SINE)["id"]
    assert send(world.client, Call(method="DELETE", path=f"/adaptations/{gone}")).status == 204
    for one in (gone, UNKNOWN):
        yield Call(method="DELETE", path=f"/adaptations/{one}")


def hot_and_deleted(world: World) -> Iterator[Call]:
    made = str(world.adapt(SINE)["id"])
    asked = predict(adaptation=made, input="1.0")
    assert send(world.client, asked).status == 200
    assert world.client.delete(f"/adaptations/{made}").status_code == 204
    yield asked
    yield predict(adaptation=UNKNOWN, input="1.0")


def extending_deleted(world: World) -> Iterator[Call]:
    gone = world.adapt(SINE)["id"]
    assert send(world.client, Call(method="DELETE", path=f"/adaptations/{gone}")).status == 204
    for one in (gone, UNKNOWN):
        yield post({"extends": one, "support": MORE})


def sixth_class(world: World) -> Iterator[Call]:
    five = world.adapt(letters(list("abcde")))["id"]
    yield post({"extends": five, "support": {"inputs": [url(77)], "targets": ["f"]}})


def claimed_shapes(world: World) -> Iterator[Call]:
    five = world.adapt(letters(list("abcde")))["id"]
    for shape, data in (([1, 1, 28, 28], [0.0] * 10), ([1, 1, 2**31], [])):
        tensor = {"name": "input", "datatype": "FP32", "shape": shape, "data": data}
        yield post({"inputs": [tensor]}, path=f"/v2/models/{five}/infer")


LIVES = [
    refused("B076-same-bytes", 404, "not-found", extending_deleted, then=same_bytes),
    refused("B077-joined", 422, "too-many-classes", sixth_class),
    refused("B082", 422, "validation", changes),
    accepted("B089", lines, then=in_order),
    refused("B090", 409, "conflict", cancelled),
    refused("B101", 404, "not-found", hot_and_deleted, then=same_bytes),
    refused("B091", 404, "not-found", deleted_twice, then=same_bytes),
    refused("B115", 422, "shape-mismatch", claimed_shapes),
]
