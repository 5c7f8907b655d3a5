"""How routes answer and what they document of their answers."""

import json
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel

from app.errors import PROBLEMS

COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes retrying safe: the same key leads to what it first made.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def json_answer(
    body: BaseModel, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A resource as JSON."""
    return Response(
        body.model_dump_json(),
        status_code=status,
        media_type="application/json",
        headers=HEADERS | (headers or {}),
    )


def plain_answer(body: dict[str, Any]) -> Response:
    """A resource that was made here, whose form no model has to check again."""
    return Response(COMPACT.encode(body), media_type="application/json", headers=HEADERS)


def problems(*codes: str, public: bool = False) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that can refuse with these codes, and with those of every route.

    public: without a key, so that no key can be wrong.
    """
    by_status: dict[int | str, list[str]] = {}
    for code in (
        *codes,
        *(() if public else ("bad-request", "unauthenticated", "rate-limited", "unavailable")),
    ):
        by_status.setdefault(PROBLEMS[code][0], []).append(code)
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": ", ".join(f"`{code}`" for code in listed), "content": content}
        for status, listed in (by_status | {"default": ["internal"]}).items()
    }


def is_known(request: Request, etag: str) -> bool:
    """Whether If-None-Match names this version (RFC 9110, 13.1.2: weak comparison)."""
    given = request.headers.get("if-none-match", "").split(",")
    return any(one.strip().removeprefix("W/") in (etag, "*") for one in given)
