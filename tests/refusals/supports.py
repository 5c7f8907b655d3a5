"""Cases of support sets: numbers, shapes, amounts and class names."""

import json
import math
from collections.abc import Sequence

from tests.border.pictures import data_url
from tests.refusals.calls import Answer, file, post
from tests.refusals.case import accepted, has_classes, refused, succeeds
from tests.refusals.forms import REQUEST, of_form
from tests.refusals.pictures import BLACK, picture, url
from tests.refusals.world import World, letters, sine

STRANGE = ("a", "\u0430", "\u202ea", "<script>alert(1)</script>", "{{7*7}}")
RAGGED = [*BLACK[:5], [0] * 27, *BLACK[6:]]
SHAPES: tuple[object, ...] = ([], [[0] * 28] * 27, [BLACK] * 3, [[[BLACK]]])


def diverges(world: World, answers: Sequence[Answer]) -> None:
    for answer in answers:
        ended = world.client.get(answer.headers["location"] + "?wait=10").json()
        assert (ended["status"], ended["error"]["code"]) == ("failed", "diverged")
        assert ended["attempts"] == 1


def predicts_numbers(world: World, answers: Sequence[Answer]) -> None:
    succeeds(world, answers)
    body = {"adaptation": answers[0].json["id"], "inputs": [BLACK]}
    found = world.client.post("/predict", json=body).json()["predictions"][0]
    assert all(math.isfinite(share) for share in found["probabilities"].values())


def is_plain_data(world: World, answers: Sequence[Answer]) -> None:
    has_classes(*STRANGE)(world, answers)
    assert answers[0].headers["content-type"] == "application/json"
    assert answers[0].headers["x-content-type-options"] == "nosniff"


SUPPORTS = [
    refused(
        "B043", 422, "validation", lambda w: [post({"checkpoint": "sinusoid"}, pointer="/support")]
    ),
    refused("B044", 422, "empty-support", lambda w: [post(sine([], []))]),
    refused(
        "B045",
        422,
        "validation",
        lambda w: [
            post(sine([1.0], None), pointer="/support/targets"),
            post(sine([1.0], [None]), pointer="/support/targets/0"),
            post(sine([1.0], ["a"]), pointer="/support/targets/0"),
        ],
    ),
    refused("B046", 422, "length-mismatch", lambda w: [post(sine([1.0, 2.0], [1.0]))]),
    refused(
        "B047",
        422,
        "shape-mismatch",
        lambda w: [
            post(sine([[1.0, 2.0]], [1.0]), pointer="/support/inputs/0"),
            post(sine([1.0], [[1.0, 2.0]]), pointer="/support/targets/0"),
        ],
    ),
    refused(
        "B048",
        422,
        "validation",
        lambda w: [post(sine([x], [1]), pointer="/support/inputs/0") for x in (1e308, 3.5e38)],
    ),
    accepted("B049", lambda w: [post(sine([1.0], [1e30]))], then=diverges),
    refused(
        "B050",
        413,
        "too-many-examples",
        lambda w: [post(json.dumps(sine([0] * 1_000_000, [0] * 1_000_000)).encode())],
        within_s=2,
    ),
    refused(
        "B051",
        413,
        "too-many-examples",
        lambda w: [of_form(REQUEST, *[file("support[a]", bytes(200))] * 10_001)],
    ),
    refused(
        "B052",
        422,
        "ragged-array",
        lambda w: [post(letters([*"abcde"], [RAGGED, *[BLACK] * 4]), pointer="/support/inputs/0")],
    ),
    refused(
        "B053",
        422,
        "shape-mismatch",
        lambda w: [post(letters([*"abcde"], [shape] * 5)) for shape in SHAPES],
    ),
    accepted(
        "B053-fitting",
        lambda w: [post(letters([*"abcde"], [BLACK, [BLACK], *[BLACK] * 3]))],
        then=succeeds,
    ),
    refused("B054", 422, "shape-mismatch", lambda w: [post(sine([url()], [1]))]),
    refused("B055", 422, "too-few-classes", lambda w: [post(letters(["a", "a"]))]),
    refused("B056", 422, "too-few-classes", lambda w: [post(letters(["\u00e9", "e\u0301"]))]),
    refused("B057", 422, "too-many-classes", lambda w: [post(letters([*"abcdef"]))]),
    refused("B058", 422, "validation", lambda w: [post(letters([1, "1"]))]),
    refused(
        "B059",
        422,
        "validation",
        lambda w: [
            post(letters(["b", label]), pointer="/support/targets/1")
            for label in (1.5, True, None, ["a"])
        ],
    ),
    refused(
        "B060",
        422,
        "validation",
        lambda w: [
            post(letters(["b", label]), pointer="/support/targets/1", hidden=["xxx", "777"])
            for label in ("", "x" * 65, "x" * 1_000_000, int("7" * 70))
        ],
    ),
    accepted("B060-longest", lambda w: [post(letters(["b", "x" * 64]))], then=succeeds),
    refused(
        "B061",
        422,
        "validation",
        lambda w: [
            post(letters(["b", label]), pointer="/support/targets/1")
            for label in ("a\0", "a\x07b", "a\nb")
        ],
    ),
    accepted(
        "B062",
        lambda w: [post(letters([-1, 2**63]))],
        then=has_classes("-1", "9223372036854775808"),
    ),
    accepted("B063", lambda w: [post(letters([*STRANGE]))], then=is_plain_data),
    accepted("B064", lambda w: [post(letters([*"abcde"], [BLACK] * 5))], then=predicts_numbers),
    accepted(
        "B065",
        lambda w: [post(letters(["a", "b"], [BLACK, data_url(picture())]))],
        then=has_classes("a", "b"),
    ),
]
