"""Bad input: the right refusal, short, and without a word of what was sent."""

import base64
import io
import json
import struct
import time
import zlib
from typing import Any

import httpx
import pytest

from tests.journey.requests import (
    NAMES,
    OMNIGLOT,
    Json,
    adapt,
    characters,
    data_url,
    drawing,
    refusal,
    sine,
)

pytestmark = pytest.mark.e2e
SECRET = "Zwetschgenknoedel"  # stands where a value is wrong; no answer may repeat it


def supported(inputs: list[Any], targets: list[Any], checkpoint: str = "sinusoid") -> Json:
    return {"checkpoint": checkpoint, "support": {"inputs": inputs, "targets": targets}}


def pictured(first: Any) -> Json:
    """Five characters, the first of them this one."""
    body = characters()
    body["support"]["inputs"][0] = first
    return body


def png_of(width: int, height: int) -> bytes:
    """A white PNG whose pixels compress to next to nothing."""
    rows = zlib.compressobj(9)
    line = b"\x00" + b"\xff" * ((width + 7) // 8)
    pixels = b"".join(rows.compress(line) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def cut_off() -> str:
    png = drawing("kem", 1)
    return data_url(png[: len(png) // 2])


def blank(rows: int = 28, columns: int = 28) -> list[list[float]]:
    return [[0.0] * columns for _ in range(rows)]


RAGGED = [*blank(27), [0.0] * 27]
BODIES = {
    "wrong shape": (supported([[1.0, 2.0]], [1.0]), 422, "shape-mismatch"),
    "wrong picture shape": (pictured(blank(27)), 422, "shape-mismatch"),
    "picture for a number": (supported([data_url(drawing("kem", 1))], [1]), 422, "shape-mismatch"),
    "ragged": (pictured(RAGGED), 422, "ragged-array"),
    "empty support": (supported([], []), 422, "empty-support"),
    "no support": ({"checkpoint": "sinusoid"}, 422, "validation"),
    "one class": (
        supported([blank(), blank()], [SECRET, SECRET], OMNIGLOT),
        422,
        "too-few-classes",
    ),
    "six classes": (
        supported([blank()] * 6, [*"abcde", SECRET], OMNIGLOT),
        422,
        "too-many-classes",
    ),
    "lengths": (supported([1.0, 2.0], [1.0]), 422, "length-mismatch"),
    "unknown checkpoint": (sine(checkpoint="no-such-" + SECRET.lower()), 404, "not-found"),
    "unknown version": (sine(checkpoint="sinusoid:999"), 404, "not-found"),
    "path as checkpoint": (sine(checkpoint="../../etc/passwd"), 422, "validation"),
    "unknown field": (sine(webhoook=SECRET), 422, "validation"),
    "mass assignment": (sine(status=SECRET), 422, "validation"),
    "text for a number": (supported([SECRET], [1.0]), 422, "validation"),
    "truth for a number": (supported([True], [1.0]), 422, "validation"),
    "beyond float32": (supported([1e308], [1.0]), 422, "validation"),
    "wrong steps": (sine(steps=SECRET), 422, "validation"),
    "too many steps": (sine(steps=10**9), 422, "validation"),
    "too much work": (
        supported([0.0] * 600, [0.0] * 600) | {"steps": 100},
        422,
        "budget-exceeded",
    ),
    "steps as text": (sine(steps="3"), 422, "validation"),
    "no step": (sine(step_size=0), 422, "validation"),
    "long name": (sine(name=SECRET * 1000), 422, "validation"),
    "nul in a name": (sine(name=f"{SECRET}\0"), 422, "validation"),
    "number in metadata": (sine(metadata={"user": {"b": SECRET}}), 422, "validation"),
    "long label": (supported([1.0], [SECRET * 100], OMNIGLOT), 422, "validation"),
    "both origins": (sine(extends="ad_" + "0" * 32), 422, "validation"),
    "too many examples": (supported([0.0] * 1000, [0.0] * 1000), 413, "too-many-examples"),
    "bad base64": (pictured(f"data:image/png;base64,{SECRET}!!!!"), 422, "invalid-image"),
    "no base64": (pictured("data:image/png,abc"), 422, "invalid-image"),
    "cut off picture": (pictured(cut_off()), 422, "invalid-image"),
    "an address": (pictured("http://127.0.0.1:9/" + SECRET), 422, "validation"),
    "a GIF": (pictured("data:image/gif;base64,R0lGODlh"), 415, "unsupported-media-type"),
    "100 megapixels": (pictured(data_url(png_of(10_000, 10_000))), 413, "image-too-large"),
    "a thin picture": (pictured(data_url(png_of(1, 100_000))), 413, "image-too-large"),
    "unknown query class": (
        characters(query={"inputs": [blank()], "targets": [SECRET]}),
        422,
        "validation",
    ),
}
TEXTS = {
    "NaN": (b'{"checkpoint":"sinusoid","support":{"inputs":[NaN],"targets":[1]}}', 400),
    "Infinity": (b'{"checkpoint":"sinusoid","support":{"inputs":[-Infinity],"targets":[1]}}', 400),
    "1e309": (b'{"checkpoint":"sinusoid","support":{"inputs":[1e309],"targets":[1]}}', 422),
    "nothing": (b"", 400),
    "half": (b'{"checkpoint":"' + SECRET.encode(), 400),
    "two of a key": (b'{"checkpoint":"a","checkpoint":"b"}', 400),
    "deep": (b"[" * 100_000, 400),
    "bad UTF-8": (b'{"name":"\xff' + SECRET.encode() + b'"}', 400),
    "lone surrogate": (b'{"name":"\\ud800' + SECRET.encode() + b'"}', 400),
    "long integer": (b'{"steps":' + b"9" * 5000 + b"}", 400),
    "no object": (b'["' + SECRET.encode() + b'"]', 422),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_bad_order_is_refused_with_its_reason(client: httpx.Client, case: str) -> None:
    body, status, code = BODIES[case]
    body = {name: value for name, value in body.items() if value is not None}

    answer = client.post("/adapt", json=body)

    assert refusal(answer) == (status, code)
    assert SECRET.lower() not in answer.text.lower()


@pytest.mark.parametrize("case", TEXTS)
def test_what_is_no_json_of_ours_is_refused(client: httpx.Client, case: str) -> None:
    content, status = TEXTS[case]

    answer = client.post("/adapt", content=content, headers={"Content-Type": "application/json"})

    assert refusal(answer) == (status, "invalid-json" if status == 400 else "validation")
    assert SECRET not in answer.text


def test_the_place_of_a_bad_value_is_named(client: httpx.Client) -> None:
    answer = client.post("/adapt", json=supported([1.0, 2.0, [3.0, 4.0]], [1.0, 2.0, 3.0]))

    assert [error["pointer"] for error in answer.json()["errors"]] == ["/support/inputs/2"]


def test_fifty_megabytes_are_refused_before_they_are_read(client: httpx.Client) -> None:
    numbers = b"0.123456789," * (50_000_000 // 12)
    body = b'{"checkpoint":"sinusoid","support":{"inputs":[' + numbers + b'1],"targets":[1]}}'
    started = time.monotonic()

    answer = client.post("/adapt", content=body, headers={"Content-Type": "application/json"})

    assert refusal(answer) == (413, "payload-too-large")
    assert time.monotonic() - started < 10


def test_a_body_without_a_length_is_cut_at_the_limit(client: httpx.Client) -> None:
    sent = 0

    def endless() -> Any:
        nonlocal sent
        while sent < 600 * 2**20:
            sent += 2**16
            yield b" " * 2**16

    answer = client.post("/adapt", content=endless(), headers={"Content-Type": "application/json"})

    assert refusal(answer) == (413, "payload-too-large")
    assert sent < 180 * 2**20  # the limit, eight times that to no avail, what stands in buffers


def test_what_is_not_json_by_its_header_is_refused(client: httpx.Client) -> None:
    body = json.dumps(sine()).encode()
    types = ("text/plain", "application/json; charset=utf-16", "application/x-python-pickle")

    answers = [client.post("/adapt", content=body, headers={"Content-Type": t}) for t in types]
    zipped = client.post("/adapt", json=sine(), headers={"Content-Encoding": "gzip"})

    assert {refusal(answer) for answer in [*answers, zipped]} == {(415, "unsupported-media-type")}


def test_paths_and_methods_that_do_not_exist_are_problems_too(client: httpx.Client) -> None:
    assert refusal(client.post("/v1/adapt", json=sine())) == (404, "not-found")
    assert refusal(client.post("/adapt/", json=sine())) == (404, "not-found")
    for path in ("/adaptations/%ff", "/adaptations/ad_%00", "/adaptations/..%2f..%2fetc%2fpasswd"):
        assert refusal(client.get(path)) == (404, "not-found")
    wrong = client.request("BREW", "/adapt", json=sine())
    assert refusal(wrong) == (405, "method-not-allowed")
    assert wrong.headers["allow"] == "POST"


def test_odd_queries_of_predict_are_refused(client: httpx.Client) -> None:
    one = adapt(client, sine())["id"]
    wrong: list[list[tuple[str, str]]] = [
        [("adaptation", one)],
        [("input", "1")],
        [("adaptation", one), ("checkpoint", "sinusoid"), ("input", "1")],
        [("adaptation", one), ("adaptation", one), ("input", "1")],
        [("adaptation", one), ("input", "1"), ("inputs", "1")],
        [("adaptation", one), ("input", "null")],
        [("adaptation", one), ("input", "1e309")],
    ]
    unreadable = [[("adaptation", one), ("input", text)] for text in (SECRET, "", "NaN")]
    unknown = [[("adaptation", text), ("input", "1")] for text in (one.upper(), f"{{{one}}}", "x")]

    def refusals(queries: list[list[tuple[str, str]]]) -> set[tuple[int, str]]:
        answers = [client.get("/predict", params=query) for query in queries]
        assert all(SECRET not in answer.text for answer in answers)
        return {refusal(answer) for answer in answers}

    assert refusals(wrong) == {(422, "validation")}
    assert refusals(unreadable) == {(400, "invalid-json")}
    assert refusals(unknown) == {(404, "not-found")}


def test_a_foreign_host_is_refused_where_no_key_protects(client: httpx.Client) -> None:
    answer = client.get("/checkpoints", headers={"Host": "evil.example"})

    assert refusal(answer) == (400, "bad-request")


@pytest.mark.parametrize(
    ("label", "status", "code"),
    [("support[]", 422, "validation"), ("other", 422, "validation")],
)
def test_a_form_with_a_part_of_another_name_is_refused(
    client: httpx.Client, label: str, status: int, code: str
) -> None:
    form = [
        ("request", (None, json.dumps({"checkpoint": OMNIGLOT}), "application/json")),
        *((f"support[{name}]", ("x.png", drawing(name, 1), "image/png")) for name in NAMES),
        (label, ("x.png", io.BytesIO(base64.b64decode("aGFsbG8=")), "image/png")),
    ]

    assert refusal(client.post("/adapt", files=form)) == (status, code)


def test_after_all_of_this_the_service_is_well(client: httpx.Client) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}
    assert adapt(client, sine())["attempts"] == 1
