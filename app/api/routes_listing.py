"""``GET /adaptations``: a tenant's adaptations in parts, by what they are."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter

from app.adaptations.listing import Place, list_adaptations
from app.api.access import MayAdapt
from app.api.answers import json_answer, problems
from app.api.paging import MOST, bound_cursor, read_bound_cursor, read_limit
from app.api.presenting import show_adaptation
from app.api.queries import read_query
from app.api.schemas_adaptations import AdaptationPage
from app.api.service import Here
from app.checkpoints.registry import NAME
from app.errors import refusal
from app.values.filters import Filters
from app.values.lifecycle import Status

USUAL: Final = 20
MOST_METADATA: Final = 16
PLACE: Final = TypeAdapter(Place)
STATUSES: Final = [status.value for status in Status]
CHECKPOINT: Final = re.compile(rf"(?P<name>{NAME})(:(?P<version>[1-9][0-9]{{0,8}}))?")
METADATA: Final = re.compile(r"metadata\[(?P<key>[^\0]{1,64})\]", re.DOTALL)

router = APIRouter(tags=["adaptations"])


def _parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


PARAMETERS: Final = [
    _parameter(
        "limit", "How many of them at most.", type="integer", minimum=1, maximum=MOST, default=USUAL
    ),
    _parameter("after", "`next` of an earlier answer: goes on after its last one.", type="string"),
    _parameter("status", "Only those that stand so.", type="string", enum=STATUSES),
    _parameter("checkpoint", "Only those of `name`, or of `name:3`.", type="string"),
    {
        "name": "metadata",
        "in": "query",
        "description": "`metadata[key]=value`: only those with this value; all that are given.",
        "style": "deepObject",
        "explode": True,
        "schema": {"type": "object", "additionalProperties": {"type": "string"}},
    },
]


@router.get(
    "/adaptations",
    response_model=AdaptationPage,
    responses=problems("forbidden", "validation", "invalid-cursor"),
    openapi_extra={"parameters": PARAMETERS},
)
async def read_adaptations(request: Request, caller: MayAdapt, here: Here) -> Response:
    """This tenant's adaptations, newest first, in parts. `next` goes on where a part ends, whatever
    is added meanwhile.
    """
    metadata = [name for name in request.query_params if METADATA.fullmatch(name)]
    query = read_query(request, allowed=("limit", "after", "status", "checkpoint", *metadata))
    filters, limit = _read_filters(query), read_limit(query, usual=USUAL)
    bound = ["adaptations", caller.tenant_id, asdict(filters)]
    after = read_bound_cursor(query["after"][0], PLACE, bound) if "after" in query else None
    listed = partial(
        list_adaptations, here.backends, caller.tenant_id, filters, after=after, limit=limit
    )
    rows, end = await run_sync(listed)
    page = AdaptationPage(
        data=[show_adaptation(row) for row in rows],
        has_more=end is not None,
        next=None if end is None else bound_cursor(end, bound),
    )
    return json_answer(page)


def _read_filters(query: Mapping[str, Sequence[str]]) -> Filters:
    """Raises ServiceError ``validation``."""
    status = query.get("status", [None])[0]
    if status is not None and status not in STATUSES:
        raise refusal("validation", "/status", f"expected one of {', '.join(STATUSES)}")
    named = CHECKPOINT.fullmatch(query["checkpoint"][0]) if "checkpoint" in query else None
    if "checkpoint" in query and named is None:
        raise refusal("validation", "/checkpoint", "expected name or name:3, got another form")
    found = ((METADATA.fullmatch(name), values[0]) for name, values in query.items())
    metadata = {key["key"]: value for key, value in found if key is not None}
    if len(metadata) > MOST_METADATA:
        detail = f"expected at most {MOST_METADATA} of metadata, got more"
        raise refusal("validation", "/metadata", detail)
    if any("\0" in value for value in metadata.values()):
        raise refusal("validation", "/metadata", "expected no NUL character, got one")
    return Filters(
        status=None if status is None else Status(status),
        checkpoint_name=None if named is None else named["name"],
        checkpoint_version=None if named is None or not named["version"] else int(named["version"]),
        metadata=metadata,
    )
