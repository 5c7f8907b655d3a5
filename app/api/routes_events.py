"""What happened to an adaptation, as a list or as it comes; what its webhook was told; and the
secret that webhooks are signed with.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from app.adaptations.events import deliveries_of, follow_events, list_events
from app.adaptations.webhook_secrets import rotate_webhook_secret, webhook_secret
from app.api.access import MayAdapt, MayAdminister
from app.api.answers import HEADERS, json_answer, problems
from app.api.paging import MOST, read_limit
from app.api.presenting_events import show_delivery, show_event, show_secret
from app.api.queries import read_adaptation_id, read_query
from app.api.schemas_events import DeliveryPage, EventPage, WebhookSecret
from app.api.service import Here, Service
from app.api.streaming import EventStream, stream_events
from app.errors import ServiceError, refusal

router = APIRouter(tags=["events"])

STREAM: Final = "text/event-stream"
NUMBER: Final = re.compile(r"[0-9]{1,9}")
VARY: Final = {"Vary": "Accept"}
STREAMED: Final = 'id: 3\nevent: adaptation.succeeded\ndata: {"id": 3, "object": "event", …}\n\n'
PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": "limit",
        "in": "query",
        "description": "How many of them at most; of a list only.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": MOST},
    },
    {
        "name": "after",
        "in": "query",
        "description": "Only those that follow the event of this `id`.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,9}$"},
    },
    {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The same for a stream that is taken up again; goes before `after`.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,9}$"},
    },
]


@router.get(
    "/adaptations/{adaptation_id}/events",
    response_model=EventPage,
    responses={
        200: {"content": {STREAM: {"schema": {"type": "string"}, "example": STREAMED}}},
        204: {"description": "Of a stream that is taken up again: nothing follows, do not ask."},
        **problems("forbidden", "not-found", "validation", "invalid-cursor"),
    },
    openapi_extra={"parameters": PARAMETERS},
)
async def read_events(
    request: Request, adaptation_id: str, caller: MayAdapt, here: Here
) -> Response:
    """What happened to it, oldest first: one event for each change of status. With
    `Accept: text/event-stream` a live stream of them, which ends after the event of its end and is
    taken up again where `Last-Event-ID` says; a browser's EventSource does so by itself.
    """
    query = read_query(request, allowed=("limit", "after"))
    known = read_adaptation_id(adaptation_id)
    if _wants_stream(request):
        return await _stream(request, query, here, caller.tenant_id, known)
    after, limit = _number(query.get("after", ["0"])), read_limit(query)
    listed = partial(list_events, here.backends, caller.tenant_id, known, after=after, limit=limit)
    events, has_more = await run_sync(listed)
    page = EventPage(
        data=[show_event(known, event) for event in events],
        has_more=has_more,
        next=str(events[-1].number) if has_more else None,
    )
    return json_answer(page, headers=VARY)


@router.get(
    "/adaptations/{adaptation_id}/deliveries",
    response_model=DeliveryPage,
    responses=problems("forbidden", "not-found", "validation"),
)
async def read_deliveries(
    request: Request, adaptation_id: str, caller: MayAdapt, here: Here
) -> Response:
    """What its webhook was told, or is to be told, and how far that got."""
    read_query(request)
    known = read_adaptation_id(adaptation_id)
    found = await run_sync(deliveries_of, here.backends, caller.tenant_id, known)
    page = DeliveryPage(data=[show_delivery(one) for one in found], has_more=False, next=None)
    return json_answer(page)


@router.get(
    "/webhook-secret",
    response_model=WebhookSecret,
    responses=problems("forbidden", "validation"),
)
async def read_webhook_secret(request: Request, caller: MayAdminister, here: Here) -> Response:
    """What this tenant's webhooks are signed with, as Standard Webhooks says."""
    read_query(request)
    found = await run_sync(webhook_secret, here.backends, caller.tenant_id)
    return json_answer(show_secret(found))


@router.post(
    "/webhook-secret/rotate",
    response_model=WebhookSecret,
    responses=problems("forbidden", "conflict", "validation"),
)
async def exchange_webhook_secret(request: Request, caller: MayAdminister, here: Here) -> Response:
    """Exchanges the secret. For a day messages carry a signature by the one before as well; until
    that is over there is no other exchange, so that a request that is sent twice does no harm.
    """
    read_query(request)
    rotated = await run_sync(rotate_webhook_secret, here.backends, caller.tenant_id)
    return json_answer(show_secret(rotated))


async def _stream(
    request: Request,
    query: Mapping[str, Sequence[str]],
    here: Service,
    tenant_id: str,
    adaptation_id: str,
) -> Response:
    if "limit" in query:
        raise refusal("validation", "/limit", "expected no limit with a stream, got one")
    told = request.headers.getlist("last-event-id")
    after = _number(told or query.get("after", ["0"]))
    standing = await run_sync(follow_events, here.backends, tenant_id, adaptation_id, after)
    if standing.is_over and not standing.events:
        return Response(status_code=204, headers=HEADERS | VARY)  # so that nobody asks again
    answer = EventStream(here.streams, stream_events(here, tenant_id, adaptation_id, after))
    if request.method == "HEAD":  # nobody would ever read it
        return Response(headers=dict(answer.headers))
    return answer


def _wants_stream(request: Request) -> bool:
    """Whether Accept names Server-Sent Events; who accepts anything gets the list."""
    for named in ",".join(request.headers.getlist("accept")).lower().split(","):
        media_type, *parameters = (part.strip() for part in named.split(";"))
        if media_type == STREAM:
            return not any(re.fullmatch(r"q=0(\.0{0,3})?", part) for part in parameters)
    return False


def _number(given: Sequence[str]) -> int:
    """The event to go on after. Raises ServiceError ``invalid-cursor``."""
    if len(given) != 1 or not NUMBER.fullmatch(given[0]):
        raise ServiceError("invalid-cursor", "expected the id of an event, got something else")
    return int(given[0])
