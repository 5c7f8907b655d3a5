"""Lists in parts: how many a part may have (``limit``), and where it begins (``cursor``)."""

import hashlib
import json
import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter

from app.errors import ServiceError, refusal

Place = TypeVar("Place")

MOST: Final = 100
NAMES: Final = ("limit", "cursor")
PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": "limit",
        "in": "query",
        "description": "How many of them at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": MOST},
    },
    {
        "name": "cursor",
        "in": "query",
        "description": "`next` of an earlier answer: goes on after its last one.",
        "schema": {"type": "string"},
    },
]


def read_limit(query: Mapping[str, Sequence[str]], *, usual: int = MOST) -> int:
    """How many a part may have. Raises ServiceError ``validation``."""
    (text,) = query.get("limit", [str(usual)])
    if not re.fullmatch("[0-9]{1,3}", text) or not 1 <= int(text) <= MOST:
        raise refusal("validation", "/limit", f"expected a whole number from 1 to {MOST}")
    return int(text)


def read_cursor(query: Mapping[str, Sequence[str]], form: TypeAdapter[Place]) -> Place | None:
    """The place to go on after, None for the beginning. Raises ServiceError ``invalid-cursor``."""
    if "cursor" not in query:
        return None
    (text,) = query["cursor"]
    try:
        content = b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return form.validate_json(content, strict=True)
    except ValueError:  # of base64, and of pydantic
        detail = "expected `next` of an earlier answer, got something else"
        raise ServiceError("invalid-cursor", detail) from None


def write_cursor(place: Sequence[str | float | bool]) -> str:
    """A place as text that callers hand back and need not read."""
    content = json.dumps(place, separators=(",", ":")).encode()
    return urlsafe_b64encode(content).decode().rstrip("=")


def bound_cursor(place: Sequence[str | float], bound: Sequence[object]) -> str:
    """A place of a list, good for that list alone: bound are its tenant and its filters."""
    return write_cursor([*place, _check_of(place, bound)])


def read_bound_cursor(text: str, form: TypeAdapter[Place], bound: Sequence[object]) -> Place:
    """The place that ``bound_cursor`` wrote for the same list. Raises ServiceError
    ``invalid-cursor``, the same for what was forged, cut short or belongs to another list.
    """
    try:
        content = b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        *place, check = json.loads(content)
        if check != _check_of(place, bound) or bound_cursor(place, bound) != text:
            raise ValueError("of another list")
        return form.validate_python(tuple(place), strict=True)
    except (ValueError, TypeError, RecursionError):
        detail = "expected `next` of an earlier answer to the same question, got something else"
        raise ServiceError("invalid-cursor", detail) from None


def _check_of(place: Sequence[object], bound: Sequence[object]) -> str:
    """No secret: a place says nothing, and a list begins nowhere but among its tenant's rows."""
    return hashlib.sha256(json.dumps([list(place), list(bound)]).encode()).hexdigest()[:16]
