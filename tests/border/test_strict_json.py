import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.strict_json import parse_json
from tests.border.refusals import refused

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@settings(deadline=None, derandomize=True, database=None)
@given(JSON, st.booleans())
def test_what_is_json_comes_out_as_python_reads_it(value: object, escape: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=escape).encode()) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"a": 1} x',
        b'{"a": 1 // one\n}',
        b'{"a": 1,}',
        b"{'a': 1}",
        b'{"a": "x\ny"}',
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16-le"),
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        rb'"\ud800"',
        rb'"\\\ud800"',
        rb'"\udc00\ud800"',
        rb'"\ud83d\u0041"',
        rb'{"\uDFFF": 1}',
        b'{"a": 1, "a": 2}',
        rb'{"steps": 1, "\u0073teps": 2}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 33 + b"]" * 33,
        b'{"a": ' * 33 + b"1" + b"}" * 33,
        b"[" * 900 + b"]" * 900,
        b"[" * 100_000,
    ],
    ids=lambda data: ascii(data[:20]),
)
def test_what_is_not_strictly_json_is_refused(data: bytes) -> None:
    with refused("invalid-json"):
        parse_json(data)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 32 + b"]" * 32,
        b'"' + b"[" * 100 + b'"',
        rb'"\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["',
        rb'"\\ud800"',
        rb'"\uD83D\ude00\\"',
        b" \t\r\n{}",
        b"[-0.0, 1e-400, 1e309, -1E309]",
    ],
)
def test_odd_but_valid_json_is_read(data: bytes) -> None:
    assert parse_json(data) == json.loads(data)


@pytest.mark.parametrize(
    "data",
    [
        b'"' + rb"\"" * 4_000_000,
        b'"' + rb"\n" * 4_000_000 + rb'\ud83d"',
        b"[" + rb'"\ud83d",' * 1_000_000,
        b'"' * 8_000_000,
        b"[]," * 2_000_000,
    ],
    ids=["open string", "late surrogate", "surrogates", "quotes", "brackets"],
)
def test_no_text_takes_longer_than_its_length_allows(data: bytes) -> None:
    start = time.process_time()
    with refused("invalid-json"):
        parse_json(data)

    assert time.process_time() - start < 2  # linear: under 0.6 s measured
