"""JSON as RFC 8259 means it, and nothing that Python's parser lets through beside it.

Text is checked by expressions that run over it once, before anything is built from it, so that a
body of megabytes costs little more than parsing it.
"""

import json
import re
from typing import Any, Final, NoReturn

import numpy as np

from app.errors import ServiceError

MAX_DEPTH: Final = 32
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
BRACKETS: Final = b"[]{}"
NOT_BRACKETS: Final = bytes(set(range(256)) - set(BRACKETS))
STEPS: Final = np.zeros(256, np.int8)
STEPS[list(b"[{")], STEPS[list(b"]}")] = 1, -1

# A string, or what is left of one where the text ends inside it.
STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?', re.DOTALL)
# Text whose escaped surrogates all stand in pairs.
PAIRED: Final = re.compile(
    r"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)*+", re.DOTALL
)


def parse_json(data: bytes) -> Any:
    """The value of one strict JSON text in UTF-8; numbers beyond float64 come out infinite.

    Raises ServiceError invalid-json: bad UTF-8, byte order mark, NaN or Infinity, duplicate keys,
    lone surrogates, more than 32 levels, integers of more than 4,300 digits, whatever is no JSON.
    """
    if data.startswith(BYTE_ORDER_MARK):
        raise _refusal("expected JSON without a byte order mark, got one")
    _check_depth(data)
    try:
        text = data.decode("utf-8")
        _check_surrogates(text)
        return STRICT.decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _refusal(f"expected JSON, got something else at {place}") from None
    except UnicodeDecodeError as error:
        raise _refusal(f"expected UTF-8, got other bytes at offset {error.start}") from None
    except ValueError:
        raise _refusal("expected integers of at most 4300 digits, got a longer one") from None


def _check_depth(data: bytes) -> None:
    """Counts brackets outside strings; exact for valid JSON, and the rest is refused anyway."""
    brackets = STRING.sub(b"", data).translate(None, delete=NOT_BRACKETS)
    steps = STEPS[np.frombuffer(brackets, np.uint8)]
    if steps.size and np.cumsum(steps, dtype=np.int32).max() > MAX_DEPTH:
        raise _refusal(f"expected at most {MAX_DEPTH} levels, got more")


def _check_surrogates(text: str) -> None:
    if "\\ud" not in text and "\\uD" not in text:
        return
    sound = PAIRED.match(text)
    if sound is None or sound.end() < len(text):
        raise _refusal("expected surrogates in pairs, got a lone one")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _refusal("expected each key once in an object, got one twice")
    return fields


def _refuse_constant(_: str) -> NoReturn:
    raise _refusal("expected finite numbers, got NaN or Infinity")


def _refusal(detail: str) -> ServiceError:
    return ServiceError("invalid-json", detail)


STRICT: Final = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_object)
