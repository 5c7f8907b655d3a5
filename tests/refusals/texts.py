"""Cases of JSON: what is no JSON, and JSON whose values are of the wrong kind."""

import json
from collections.abc import Sequence

from tests.refusals.bodies import VALID
from tests.refusals.calls import Answer, Call, field, post
from tests.refusals.case import Case, accepted, refused, succeeds
from tests.refusals.forms import FILES, of_form
from tests.refusals.world import SINE, World, letters, sine

WIDE = SINE | {f"k{n}": 0 for n in range(100_000)}
TRICKS = ("supports", "__proto__", "constructor", "__class__")


def beside(text: str) -> bytes:
    """The valid body with more text at its end, inside the object."""
    return VALID[:-1] + b"," + text.encode() + b"}"


def supported(text: str) -> bytes:
    return b'{"checkpoint":"sinusoid","support":{"inputs":[%s],"targets":[1]}}' % text.encode()


def unreadable(name: str, *bodies: bytes) -> Case:
    return refused(name, 400, "invalid-json", lambda w: [post(body) for body in bodies])


def few_errors(world: World, answers: Sequence[Answer]) -> None:
    assert all(1 <= len(answer.json.get("errors", [0])) <= 20 for answer in answers)


def one_form() -> Call:
    return of_form(field("request", b"{"), *FILES)


TEXTS = [
    refused("B023", 400, "invalid-json", lambda w: [post(b""), post(b"{"), one_form()]),
    refused(
        "B024",
        422,
        "validation",
        lambda w: [post(body, hidden=["sinusoid"]) for body in (b"[]", b"null", b'"sinusoid"')],
    ),
    unreadable("B025", VALID.decode().encode("utf-16-le")),
    unreadable("B026", b"\xef\xbb\xbf" + VALID),
    unreadable(
        "B027",
        *(VALID[:-1] + b',"name":"' + raw + b'"}' for raw in (b"\xff", b"\xed\xa0\x80")),
    ),
    unreadable("B028", *(supported(word) for word in ("NaN", "Infinity", "-Infinity"))),
    refused(
        "B029",
        422,
        "validation",
        lambda w: [post(supported("1e309"), pointer="/support/inputs/0", hidden=["309"])],
    ),
    unreadable("B030", beside(r'"name":"\ud800"')),
    refused("B031", 422, "validation", lambda w: [post(SINE | {"name": "a\0b"}, pointer="/name")]),
    refused(
        "B032",
        400,
        "invalid-json",
        lambda w: [post(supported("[" * 900 + "1" + "]" * 900)), post(b"[" * 100_000)],
        within_s=2,
    ),
    unreadable("B033", beside('"steps":1,"steps":2'), beside(r'"steps":1,"\u0073teps":2')),
    unreadable("B034", beside('"steps":' + "7" * 5000)),
    refused(
        "B035",
        422,
        "validation",
        lambda w: [
            post(beside('"steps":' + "7" * 400), pointer="/steps", hidden=["777"]),
            post(supported("7" * 400), pointer="/support/inputs/0", hidden=["777"]),
        ],
    ),
    refused("B036", 422, "validation", lambda w: [post(WIDE)], then=few_errors),
    refused(
        "B037",
        422,
        "validation",
        lambda w: [post(letters([*"abcde"], [[["x"] * 28] * 28] * 5))],
        then=few_errors,
    ),
    unreadable(
        "B038",
        VALID + b" x",
        VALID + b"// why",
        VALID[:-1] + b",}",
        VALID.replace(b'"', b"'"),
        VALID[:-1] + b',"name":"a\nb"}',
    ),
    refused(
        "B039",
        422,
        "validation",
        lambda w: [post(SINE | {name: {}}, pointer=f"/{name}") for name in TRICKS],
    ),
    refused(
        "B040",
        422,
        "validation",
        lambda w: [
            post(beside(f'"steps":{value}'), pointer="/steps")
            for value in ("true", '"3"', '" 3 "', '"1_0"', "3.0")
        ],
    ),
    refused(
        "B041",
        422,
        "validation",
        lambda w: [
            post(sine([value], [1]), pointer="/support/inputs/0")
            for value in (True, "0.1", None, {})
        ],
    ),
    accepted("B042", lambda w: [post(sine([-0.0, 1e-46], [0, 1]))], then=succeeds),
    refused(
        "beyond-depth",
        422,
        "shape-mismatch",
        lambda w: [post(supported("[" * 29 + "1" + "]" * 29), pointer="/support/inputs/0")],
    ),
    refused(
        "beyond-lists",
        413,
        "too-many-examples",
        lambda w: [post(json.dumps(sine([[]] * 500_000, [[]] * 500_000)).encode())],
        within_s=5,
    ),
]
