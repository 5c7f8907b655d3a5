"""``POST /adaptations:batch``: many adaptations in one call, each line a request of its own.

The lines are placed in portions of one stacked call, so that the workers adapt the first while the
next are read, and are answered in their order as they end.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from functools import partial

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from app.adaptations.finding import find_adaptations
from app.adaptations.order import AdaptOrder
from app.adaptations.placing_many import Placed, place_orders
from app.api.access import MayAdapt
from app.api.answers import HEADERS, problems
from app.api.body import read_body, require_media_type
from app.api.headers import parse_idempotency_key, parse_prefer, preference_applied, wait_of
from app.api.ndjson import MEDIA_TYPE, MEDIA_TYPES, split_lines
from app.api.ordering import read_order
from app.api.presenting import show_adaptation
from app.api.problems import problem_body
from app.api.queries import read_query
from app.api.rates import quota_of
from app.api.routes_adapt import ASKED
from app.api.service import Here, Service
from app.api.strict_json import parse_json
from app.errors import ServiceError
from app.values.adaptation import Adaptation, new_id
from app.values.caller import Caller
from app.values.lifecycle import FINAL

LOOKED_AT_EVERY_S = 1.0  # a lost wake-up costs no more

log = logging.getLogger(__name__)
router = APIRouter(tags=["adaptations"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the lines of one call share. deadline: by the loop's clock, when waiting ends."""

    here: Service
    caller: Caller
    key: str | None
    limiter: CapacityLimiter | None
    deadline: float


@router.post(
    "/adaptations:batch",
    response_class=Response,
    responses={
        200: {
            "description": "A line for each, in order: the adaptation, or the problem of its line.",
            "content": {
                MEDIA_TYPE: {
                    "schema": {"type": "string"},
                    "x-item-schema": {  # itemSchema from OpenAPI 3.2 on
                        "anyOf": [
                            {"$ref": "#/components/schemas/Adaptation"},
                            {"$ref": "#/components/schemas/Problem"},
                        ]
                    },
                }
            },
        },
        **problems("forbidden", "payload-too-large", "unsupported-media-type", "validation"),
    },
    openapi_extra={
        "parameters": ASKED,
        "requestBody": {
            "required": True,
            "content": {
                kind: {
                    "schema": {"type": "string"},
                    "x-item-schema": {"$ref": "#/components/schemas/AdaptRequest"},
                }
                for kind in MEDIA_TYPES
            },
        },
    },
)
async def adapt_many(request: Request, caller: MayAdapt, here: Here) -> Response:
    """Adapts to many support sets: a body of `POST /adapt` on each line, an answer on each line.

    The answers come in the order of the lines, as they end; a line that is wrong is answered by its
    problem, and the others go on. One `Idempotency-Key` covers every line by its number. `Prefer`
    is for the whole call, which waits as long as it may unless told otherwise; what has not ended
    by then is answered as it stands.
    """
    read_query(request)
    settings = here.backends.settings
    prefer = parse_prefer(request.headers.getlist("prefer"))
    key = parse_idempotency_key(request.headers.getlist("idempotency-key"))
    require_media_type(request, *MEDIA_TYPES)
    body = await read_body(
        request,
        limit_bytes=settings.body_limit_mib * 2**20,
        timeout_s=settings.body_time_limit_s,
    )
    lines = split_lines(body, most=settings.max_batch_adaptations)
    limit_s = settings.wait_limit_s
    wait_s = wait_of(prefer, default_s=limit_s, limit_s=limit_s)
    call = Call(
        here=here,
        caller=caller,
        key=key,
        limiter=here.predictor.limiter_for(len(body)),
        deadline=asyncio.get_running_loop().time() + wait_s,
    )
    log.info("batch called", extra={"lines": len(lines)})
    applied = preference_applied(prefer, limit_s=limit_s)
    headers = HEADERS | ({"Preference-Applied": applied} if applied else {})
    return StreamingResponse(_answers(call, lines), media_type=MEDIA_TYPE, headers=headers)


async def _answers(call: Call, lines: Sequence[bytes]) -> AsyncIterator[bytes]:
    """The answer to every line; the next portions are placed while one is waited for."""
    most, turn = call.here.backends.settings.batch_limit, asyncio.Lock()
    numbers = range(len(lines))
    async with AsyncExitStack() as listening:
        placings = [
            asyncio.create_task(_place(call, lines, numbers[first:][:most], turn, listening))
            for first in numbers[::most]
        ]
        try:
            for placing in placings:
                placed, ended = await placing
                async with aclosing(_settled(call, placed, ended)) as answers:
                    async for answer in answers:
                        yield _line(answer)
        finally:  # who went away gets no more placed
            for placing in placings:
                placing.cancel()
            await asyncio.gather(*placings, return_exceptions=True)


async def _place(
    call: Call,
    lines: Sequence[bytes],
    portion: range,
    turn: asyncio.Lock,
    listening: AsyncExitStack,
) -> tuple[Placed, asyncio.Event]:
    """A portion's adaptations or refusals, and what is set when one of them ends."""
    ids = {new_id(): number for number in portion}
    async with turn:
        ended = await listening.enter_async_context(call.here.news.ended(*ids))  # then commit
        place = partial(_read_and_place, call, lines, ids)
        return await run_sync(place, limiter=call.limiter), ended


def _read_and_place(call: Call, lines: Sequence[bytes], ids: Mapping[str, int]) -> Placed:
    read = {one: _order(call, lines[number], number) for one, number in ids.items()}
    orders = {one: order for one, order in read.items() if isinstance(order, AdaptOrder)}
    refused = {one: error for one, error in read.items() if isinstance(error, ServiceError)}
    placed = refused | place_orders(call.here.backends, orders)
    return {one: placed[one] for one in ids}


def _order(call: Call, line: bytes, number: int) -> AdaptOrder | ServiceError:
    try:
        at_once = quota_of(call.here, call.caller).adaptations_at_once
        key = _key_of(call.key, number)
        return read_order(parse_json(line), caller=call.caller, at_once=at_once, key=key)
    except ServiceError as error:
        return error


def _key_of(key: str | None, number: int) -> str | None:
    """A line's own key; with a space in it, so that no caller's can be the same."""
    return None if key is None else f"{hashlib.sha256(key.encode()).hexdigest()} {number}"


async def _settled(
    call: Call, placed: Placed, ended: asyncio.Event
) -> AsyncGenerator[Adaptation | ServiceError]:
    """Each as it ends, in order; from the deadline on as they stand."""
    now = asyncio.get_running_loop().time
    rows = list(placed.values())
    while rows:
        while rows and (_is_settled(rows[0]) or now() >= call.deadline):
            yield rows.pop(0)
        if not rows:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), min(call.deadline - now(), LOOKED_AT_EVERY_S))
        ended.clear()
        rows = await run_sync(_as_they_stand, call, rows)


def _as_they_stand(
    call: Call, rows: Sequence[Adaptation | ServiceError]
) -> list[Adaptation | ServiceError]:
    """The rows now; as they were last seen where the database does not answer, for they were
    accepted. Who was deleted meanwhile is not found.
    """
    waited_for = [row.id for row in rows if isinstance(row, Adaptation) and not _is_settled(row)]
    try:
        found = find_adaptations(call.here.backends, call.caller.tenant_id, waited_for)
    except ServiceError as error:
        if error.code != "unavailable":
            raise
        return list(rows)
    by_id = {row.id: row for row in found}
    gone = ServiceError("not-found", "there is no such adaptation")
    return [
        by_id.get(row.id, gone) if isinstance(row, Adaptation) and not _is_settled(row) else row
        for row in rows
    ]


def _is_settled(row: Adaptation | ServiceError) -> bool:
    return isinstance(row, ServiceError) or row.status in FINAL


def _line(answer: Adaptation | ServiceError) -> bytes:
    if isinstance(answer, ServiceError):
        return problem_body(answer) + b"\n"
    return show_adaptation(answer).model_dump_json().encode() + b"\n"
