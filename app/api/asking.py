"""A small JSON body, its Idempotency-Key, and lists in parts: what the routes of administration
have in common.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, TypeAdapter

from app.api.body import read_body, require_media_type
from app.api.headers import parse_idempotency_key
from app.api.paging import MOST, bound_cursor, read_bound_cursor, read_limit
from app.api.queries import read_query
from app.api.service import Service
from app.api.strict_json import parse_json
from app.api.validating import validate

BODY_BYTES = 2**17
AFTER: list[dict[str, Any]] = [
    {
        "name": "limit",
        "in": "query",
        "description": "How many of them at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": MOST},
    },
    {
        "name": "after",
        "in": "query",
        "description": "`next` of an earlier answer: goes on after its last one.",
        "schema": {"type": "string"},
    },
]

Model = TypeVar("Model", bound=BaseModel)


async def read_small(
    request: Request, here: Service, model: type[Model], *media_types: str
) -> tuple[Model, Any]:
    """The body as ``model``, and as it was parsed. Raises ServiceError for what is wrong."""
    require_media_type(request, *(media_types or ("application/json",)))
    limit_s = here.backends.settings.body_time_limit_s
    content = parse_json(await read_body(request, limit_bytes=BODY_BYTES, timeout_s=limit_s))
    return validate(model, content), content


def read_key(request: Request, content: Any) -> tuple[str | None, str]:
    """The Idempotency-Key, and what is equal for equal requests to this path."""
    key = parse_idempotency_key(request.headers.getlist("idempotency-key"))
    text = json.dumps([request.url.path, content], sort_keys=True)
    return key, hashlib.sha256(text.encode()).hexdigest() if key is not None else ""


def read_part(request: Request, form: TypeAdapter[Any], bound: Sequence[object]) -> tuple[int, Any]:
    """How many are asked for, and the place to go on after. Raises ServiceError."""
    query = read_query(request, allowed=("limit", "after"))
    after = read_bound_cursor(query["after"][0], form, bound) if "after" in query else None
    return read_limit(query), after


def write_part(end: tuple[Any, ...] | None, bound: Sequence[object]) -> dict[str, Any]:
    """What a page says of what follows."""
    following = None if end is None else bound_cursor(end, bound)
    return {"has_more": following is not None, "next": following}
