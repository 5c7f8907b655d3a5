"""Cases of who asks: keys, other tenants' things, foreign hosts, and keys of repeated requests."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.refusals.calls import JSON_BODY, Answer, Call, file, form, form_type, post, send
from tests.refusals.case import accepted, allows, refused, succeeds
from tests.refusals.forms import REQUEST
from tests.refusals.pictures import picture
from tests.refusals.world import SINE, World, sine

OTHER = SINE | {"steps": 2}
FORM = [REQUEST, *(file(f"support[{name}]", picture(n)) for n, name in enumerate("ab"))]


def keyed(key: str, body: object = SINE, *more: tuple[str, str]) -> Call:
    return post(body, ("Idempotency-Key", key), *more)


def same_content(world: World) -> list[Call]:
    text = json.dumps(dict(reversed(SINE.items())), indent=3).encode()
    return [keyed("again"), keyed("again", text), keyed("again", SINE, ("Prefer", "wait=3"))]


def same_form(world: World) -> list[Call]:
    return [
        post(form(FORM, boundary=edge), form_type(edge), ("Idempotency-Key", "form"))
        for edge in ("one", "two")
    ]


def is_replayed(world: World, answers: Sequence[Answer]) -> None:
    assert len({answer.json["id"] for answer in answers}) == 1
    marks = [answer.headers.get("idempotency-replayed") for answer in answers]
    assert marks == [None, *["true"] * (len(answers) - 1)]


def at_once(world: World, answers: Sequence[Answer]) -> None:
    """Fifty more of the same, all together."""
    before = world.count()
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda _: send(world.client, keyed("at-once", OTHER)), range(50)))
    assert {answer.json["id"] for answer in found} == {found[0].json["id"]}
    assert {answer.json["status"] for answer in found} == {"succeeded"}
    assert world.count() == before + 1


def mismatch(world: World) -> Iterator[Call]:
    first = send(world.client, keyed("mismatch")).json["id"]
    yield keyed("mismatch", sine([1.0, 2.0], [0.5, -0.25]))
    assert world.status(first) == "succeeded"


def used_again(world: World) -> list[Call]:
    bad = send(world.client, keyed("refused", sine([], [])))
    assert bad.status == 422
    return [keyed("refused")]


def a_day_later(world: World) -> Iterator[Call]:
    yield keyed("old")
    world.age_keys(25)
    yield keyed("old", OTHER)


def is_new(world: World, answers: Sequence[Answer]) -> None:
    assert len({answer.json["id"] for answer in answers}) == len(answers)
    assert all("idempotency-replayed" not in answer.headers for answer in answers)


def has_no_cross_origin(world: World, answers: Sequence[Answer]) -> None:
    allows("POST")(world, answers)
    assert not any(name.startswith("access-control") for name in answers[0].headers)


def hosted(host: str) -> Call:
    return Call(method="GET", path="/limits", headers=[("Host", host)], chunks=lambda: ())


CALLERS = [
    refused(
        "B172",
        405,
        "method-not-allowed",
        lambda w: [
            Call(
                method="OPTIONS",
                headers=[
                    ("Origin", "https://evil.example"),
                    ("Access-Control-Request-Method", "POST"),
                ],
            )
        ],
        then=has_no_cross_origin,
    ),
    refused(
        "B173",
        400,
        "bad-request",
        lambda w: [hosted(host) for host in ("evil.example", "evil.example:80", "localhost.evil")],
    ),
    refused(
        "beyond-host",
        400,
        "bad-request",
        lambda w: [hosted(host) for host in ("[", "[::1", "127.0.0.1]", "", "x/127.0.0.1")],
    ),
    refused(
        "beyond-static",
        405,
        "method-not-allowed",
        lambda w: [Call(path="/static-offline-docs/swagger-ui.css")],
        then=allows("GET, HEAD"),
    ),
    refused(
        "beyond-pages",
        405,
        "method-not-allowed",
        lambda w: [Call(path="/docs"), Call(path="/"), Call(path="/livez")],
        then=allows("GET, HEAD"),
    ),
    accepted("B175", same_content, then=is_replayed),
    accepted("B175-form", same_form, then=is_replayed),
    refused("B176", 422, "idempotency-mismatch", mismatch),
    accepted("B177", lambda w: [post(SINE)], then=at_once),
    refused(
        "B178",
        400,
        "bad-request",
        lambda w: [
            *(keyed(key) for key in ("", "x" * 256, "a b")),
            Call(headers=[JSON_BODY, ("Idempotency-Key", b"\xe9")], body=json.dumps(SINE).encode()),
            keyed("one", SINE, ("Idempotency-Key", "two")),
        ],
    ),
    accepted("B178-longest", lambda w: [keyed("~" * 255)], then=succeeds),
    accepted("B180", used_again, then=is_new),
    accepted("B181", a_day_later, then=is_new),
]
