"""Query parameters and ids in paths, checked by hand: unknown, doubled and odd ones are refused."""

import re
from collections.abc import Collection

from fastapi import Request

from app.errors import ServiceError, refusal

ADAPTATION_ID = re.compile(r"ad_[0-9a-f]{32}")
WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")


def read_query(
    request: Request, *, allowed: Collection[str] = (), repeatable: Collection[str] = ()
) -> dict[str, list[str]]:
    """The request's query parameters by name.

    Raises ServiceError ``validation`` for unknown names, and for doubled ones that may not repeat.
    """
    found: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        found.setdefault(name, []).append(value)
    known = [*allowed, *repeatable]
    if any(name not in known for name in found):
        rule = f"no query parameters but {', '.join(known)}" if known else "no query parameters"
        raise refusal("validation", "", f"expected {rule}, got another")
    doubled = [name for name, values in found.items() if name in allowed and len(values) > 1]
    if doubled:
        raise refusal("validation", f"/{doubled[0]}", "expected the parameter once, got it twice")
    return found


def read_adaptation_id(text: str) -> str:
    """An id of the right form. Raises ServiceError ``not-found`` before any database is asked."""
    if not ADAPTATION_ID.fullmatch(text):
        raise ServiceError("not-found", "there is no such adaptation")
    return text


def read_truth(text: str, *, pointer: str) -> bool:
    """Raises ServiceError ``validation`` for anything but true and false."""
    if text not in ("true", "false"):
        raise refusal("validation", pointer, "expected true or false, got something else")
    return text == "true"


def read_seconds(text: str, *, limit: float, pointer: str) -> float:
    """Whole seconds from 0 to ``limit``. Raises ServiceError ``validation``."""
    if not (text.isascii() and WHOLE_NUMBER.fullmatch(text)) or int(text) > limit:
        raise refusal("validation", pointer, f"expected whole seconds from 0 to {limit:g}")
    return float(text)
