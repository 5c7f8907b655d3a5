"""Cases of adaptations that have no result: not yet, never, no more, or a damaged one."""

import time
from collections.abc import Iterator, Sequence

from tests.refusals.calls import Answer, Call, get, post, predict
from tests.refusals.case import refused, tells
from tests.refusals.world import World, sine

QUERY = {"inputs": [0.5]}


def not_ready(world: World) -> Iterator[Call]:
    with world.queued() as waiting:
        yield predict(adaptation=waiting, input="1.0")
    yield predict(adaptation=world.running, input="1.0")
    yield get(f"/adaptations/{world.running}/parameters?format=safetensors")


def retry_later(world: World, answers: Sequence[Answer]) -> None:
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)


def says_why(world: World, answers: Sequence[Answer]) -> None:
    retry_later(world, answers)
    states = [answer.json["detail"].split()[-1] for answer in answers]
    assert states == ["queued", "running", "running"]


def still_readable(world: World, answers: Sequence[Answer]) -> None:
    assert world.client.get(f"/adaptations/{world.expired}").json()["status"] == "expired"


def damaged(world: World) -> Iterator[Call]:
    found = world.adapt_unwatched(sine([1.0, 3.0], [0.25, 0.75], query=QUERY))
    path = world.parameters_on_disk(found["id"])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    yield predict(adaptation=found["id"], input="0.5")
    assert _mended(world, found["id"]) == found["predictions"]


def _mended(world: World, adaptation_id: str) -> object:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        path = f"/predict?adaptation={adaptation_id}&input=0.5"
        if (answer := world.client.get(path)).status_code == 200:
            return answer.json()["predictions"]
        time.sleep(0.1)
    raise AssertionError("it was not derived again")


STATES = [
    refused("B096", 409, "not-ready", not_ready, then=says_why),
    refused(
        "B097",
        409,
        "adaptation-failed",
        lambda w: [predict(adaptation=w.failed, input="1.0")],
        then=tells("diverged"),
    ),
    refused(
        "B098",
        409,
        "adaptation-failed",
        lambda w: [predict(adaptation=w.cancelled, input="1.0")],
        then=tells("cancelled"),
    ),
    refused(
        "B099",
        410,
        "expired",
        lambda w: [
            predict(adaptation=w.expired, input="1.0"),
            post({"adaptation": w.expired, "inputs": [1.0]}, path="/predict"),
        ],
        then=still_readable,
    ),
    refused(
        "B100",
        410,
        "expired",
        lambda w: [get(f"/adaptations/{w.expired}/parameters?format=safetensors")],
    ),
    refused("B110", 503, "damaged", damaged, then=retry_later),
]
