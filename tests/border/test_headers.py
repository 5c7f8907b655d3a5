import base64
import time
from collections.abc import Sequence

import pytest

from app.api.headers import (
    Prefer,
    parse_bearer,
    parse_idempotency_key,
    parse_parameters,
    parse_prefer,
    preference_applied,
    wait_of,
)
from tests.border.refusals import refused

KEY = "fs_" + "Az09-_" * 7 + "x"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Prefer()),
        (["wait=5"], Prefer(wait_s=5)),
        (['Wait = "5"'], Prefer(wait_s=5)),
        (["wait=0"], Prefer(wait_s=0)),
        (["respond-async"], Prefer(respond_async=True)),
        (["respond-async, wait=5"], Prefer(wait_s=5, respond_async=True)),
        (["respond-async", "wait=5"], Prefer(wait_s=5, respond_async=True)),
        (["wait=1, wait=9"], Prefer(wait_s=1)),
        (["wait=5; a=b; c, respond-async"], Prefer(wait_s=5, respond_async=True)),
        (['x="a, wait=7", wait=5'], Prefer(wait_s=5)),
        (["wait=-1"], Prefer()),
        (["wait=abc"], Prefer()),
        (["wait=1.5"], Prefer()),
        (["wait"], Prefer()),
        (["wait=\u0665"], Prefer()),
        (["wait=5 6, respond-async"], Prefer(respond_async=True)),
        (["wait=999999999999999"], Prefer(wait_s=999_999_999)),
        (["wait=" + "9" * 900], Prefer(wait_s=999_999_999)),
        ([",,;=,"], Prefer()),
    ],
)
def test_preferences_are_read_as_rfc_7240_says(values: list[str], expected: Prefer) -> None:
    assert parse_prefer(values) == expected


def test_an_endless_preference_takes_no_time() -> None:
    start = time.process_time()

    assert parse_prefer(['"' + r"\"" * 30_000]) == Prefer()
    assert time.process_time() - start < 0.1  # 60 kB of open quotes would take seconds


@pytest.mark.parametrize(
    ("prefer", "wait_s", "applied"),
    [
        (Prefer(), 10, None),
        (Prefer(wait_s=5), 5, "wait=5"),
        (Prefer(wait_s=999_999_999), 60, "wait=60"),
        (Prefer(respond_async=True), 0, "respond-async"),
        (Prefer(wait_s=5, respond_async=True), 5, "respond-async, wait=5"),
    ],
)
def test_a_wait_is_kept_to_and_said(prefer: Prefer, wait_s: float, applied: str | None) -> None:
    assert wait_of(prefer, default_s=10, limit_s=60) == wait_s
    assert preference_applied(prefer, limit_s=60) == applied


@pytest.mark.parametrize("key", ["a", '"quoted"', "!~" * 127 + "x"])
def test_an_idempotency_key_of_visible_ascii_is_taken_as_it_is(key: str) -> None:
    assert parse_idempotency_key([key]) == key


def test_an_idempotency_key_may_be_absent() -> None:
    assert parse_idempotency_key([]) is None


@pytest.mark.parametrize("values", [[""], ["x" * 256], ["a b"], ["\xe9"], ["a", "b"], ["a", "a"]])
def test_another_idempotency_key_is_refused(values: list[str]) -> None:
    with refused("bad-request"):
        parse_idempotency_key(values)


def basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


@pytest.mark.parametrize(
    "value",
    [f"Bearer {KEY}", f"bearer  {KEY} ", basic(f":{KEY}".encode()), basic(f"me:{KEY}".encode())],
)
def test_a_key_is_read_from_bearer_and_from_basic(value: str) -> None:
    assert parse_bearer([value]) == KEY


def test_no_authorization_is_no_key() -> None:
    assert parse_bearer([]) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        KEY,
        f"Digest {KEY}",
        f"Bearer sk_{KEY[3:]}",
        "Bearer fs_short",
        f"Bearer {KEY} {KEY}",
        f"Bearer {KEY}\xc3\xa9",
        "Bearer fs_" + "x" * 10_000,
        "Basic !!!",
        basic(KEY.encode()),
        basic(b":\xc3\xa9"),
        f"Basic {KEY}",
    ],
    ids=lambda value: ascii(value[:20]),
)
def test_what_cannot_be_a_key_is_unauthenticated(value: str) -> None:
    with refused("unauthenticated"):
        parse_bearer([value])


@pytest.mark.parametrize("values", [[f"Bearer {KEY}", f"Bearer {KEY}"], ["", ""]])
def test_two_authorization_headers_are_refused(values: Sequence[str]) -> None:
    with refused("bad-request"):
        parse_bearer(values)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Text/Plain", ("text/plain", {})),
        ("a/b; charset=UTF-8;", ("a/b", {"charset": "UTF-8"})),
        ('a/b;Boundary="x y"; z=', ("a/b", {"boundary": "x y", "z": ""})),
        (r'form-data; name="a\"b\\c\d;"', ("form-data", {"name": r'a"b\c\d;'})),
        ("", ("", {})),
    ],
)
def test_parameters_are_read_and_unquoted(value: str, expected: object) -> None:
    assert parse_parameters(value) == expected


@pytest.mark.parametrize(
    "value", ['a/b; c="d', "a/b; c", "a/b; c=d; C=e", "a/b; c=d e", 'a; b="c"d']
)
def test_malformed_parameters_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        parse_parameters(value)
