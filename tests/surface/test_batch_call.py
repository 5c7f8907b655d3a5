"""Many adaptations in one call: lines in, lines out, in the order given."""

import json
from typing import Any

import httpx
import pytest

from tests.journey.requests import adapt, characters, predict, refusal, sine, table

NDJSON = "application/x-ndjson"


def call(client: httpx.Client, lines: list[Any], **headers: str) -> list[dict[str, Any]]:
    """The answer to each line; a string is sent as it is."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    answer = client.post(
        "/adaptations:batch",
        content="\n".join(texts) + "\n",
        headers={"Content-Type": NDJSON} | headers,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == NDJSON
    return [json.loads(line) for line in answer.text.splitlines()]


def test_every_line_is_answered_in_its_place_with_what_it_alone_would_be(
    client: httpx.Client,
) -> None:
    bodies = [sine(5 + i % 3, height=1 + i / 10, name=f"line {i}") for i in range(39)]

    answers = call(client, bodies)

    assert [one["name"] for one in answers] == [body["name"] for body in bodies]
    assert {one["status"] for one in answers} == {"succeeded"}
    alone = adapt(client, bodies[20] | {"metadata": {"sent": "alone"}})
    together = predict(client, answers[20], [[0.3], [1.7]])
    assert table(predict(client, alone, [[0.3], [1.7]])) == pytest.approx(table(together), abs=1e-5)


def test_a_line_that_is_wrong_is_answered_by_its_problem_and_the_others_go_on(
    client: httpx.Client,
) -> None:
    lines = [sine(), "{", sine(steps=-1), "", {"checkpoint": "none", **sine()}, characters(), "[]"]
    lines[4] = sine() | {"checkpoint": "none"}

    answers = call(client, lines)

    codes = [one.get("code", one.get("status")) for one in answers]
    expected = ["invalid-json", "validation", "invalid-json", "not-found"]
    assert codes == ["succeeded", *expected, "succeeded", "validation"]
    assert answers[2]["errors"][0]["pointer"] == "/steps"


def test_sent_again_under_its_key_it_leads_to_the_same_adaptations(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "many-1"}
    first = call(client, [sine(7), "{", sine(8)], **key)

    again = call(client, [sine(7), "{", sine(9)], **key)

    assert again[0]["id"] == first[0]["id"]
    assert again[1]["code"] == "invalid-json"
    assert again[2]["code"] == "idempotency-mismatch"


def test_the_key_of_a_call_is_none_of_a_single_request(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "many-2"}
    [many] = call(client, [sine(6)], **key)

    alone = adapt(client, sine(6), **key)

    assert alone["id"] != many["id"]


def test_who_does_not_wait_gets_every_line_as_it_stands(client: httpx.Client) -> None:
    answers = call(client, [sine(5, name="now"), sine(6)], Prefer="respond-async")

    assert {one["object"] for one in answers} == {"adaptation"}
    for one in answers:
        ended = client.get(f"/adaptations/{one['id']}", params={"wait": 60}).json()
        assert ended["status"] == "succeeded"


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        (b"", NDJSON, (422, "validation")),
        (b"\n \n", NDJSON, (422, "validation")),
        (b"{}\n" * 41, NDJSON, (413, "payload-too-large")),
        (b"{}", "application/json", (415, "unsupported-media-type")),
        (b"{}", f"{NDJSON}; charset=latin1", (415, "unsupported-media-type")),
    ],
)
def test_a_call_that_is_wrong_as_a_whole_is_refused(
    client: httpx.Client, content: bytes, kind: str, expected: tuple[int, str]
) -> None:
    answer = client.post("/adaptations:batch", content=content, headers={"Content-Type": kind})

    assert refusal(answer) == expected


def test_forty_lines_fit_and_the_last_needs_no_end(client: httpx.Client) -> None:
    answer = client.post(
        "/adaptations:batch", content=b"\r\n".join([b"{}"] * 40), headers={"Content-Type": NDJSON}
    )

    assert [json.loads(line)["code"] for line in answer.text.splitlines()] == ["validation"] * 40


def test_equal_lines_are_worked_out_once(client: httpx.Client) -> None:
    answers = call(client, [sine(9, height=3.3)] * 5)

    assert len({one["id"] for one in answers}) == 5
    assert [one["timing"]["batch_size"] for one in answers].count(0) >= 4
