"""``POST /adapt``: read, order, wait, answer."""

import logging
from functools import partial
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from structlog.contextvars import bind_contextvars

from app.adaptations.order import AdaptOrder
from app.adaptations.placing import place_order
from app.api.access import MayAdapt
from app.api.answers import IDEMPOTENCY_KEY, json_answer, problems
from app.api.body import read_body, require_media_type
from app.api.headers import parse_idempotency_key, parse_prefer, preference_applied, wait_of
from app.api.multipart import parse_adapt_form
from app.api.ordering import read_order
from app.api.presenting import show_adaptation
from app.api.queries import read_query
from app.api.rates import quota_of
from app.api.schemas import Adaptation as Resource
from app.api.service import Here, Service
from app.api.strict_json import parse_json
from app.api.timing import tell_rows_timing, timing_of
from app.api.waiting import join_wait, wait_for_end
from app.values.adaptation import Adaptation, new_id
from app.values.lifecycle import FINAL
from app.values.timing import Timing

log = logging.getLogger(__name__)
router = APIRouter(tags=["adaptations"])
REFUSALS = (
    "invalid-json",
    "invalid-multipart",
    "forbidden",
    "not-found",
    "adaptation-failed",
    "expired",
    "payload-too-large",
    "image-too-large",
    "too-many-examples",
    "unsupported-media-type",
    "validation",
    "empty-support",
    "too-few-classes",
    "too-many-classes",
    "length-mismatch",
    "ragged-array",
    "shape-mismatch",
    "invalid-image",
    "invalid-checkpoint",
    "budget-exceeded",
    "not-adjustable",
    "idempotency-mismatch",
    "queue-full",
    "store-full",
)

ASKED = [
    {
        "name": "Prefer",
        "in": "header",
        "description": "`wait=N`: seconds to wait for the result; `respond-async`: not at all.",
        "schema": {"type": "string"},
        "example": "wait=10",
    },
    IDEMPOTENCY_KEY,
]


@router.post(
    "/adapt",
    status_code=201,
    response_model=Resource,
    responses={202: {"model": Resource, "description": "Not ended yet"}, **problems(*REFUSALS)},
    openapi_extra={"parameters": ASKED},
)
async def adapt(request: Request, caller: MayAdapt, here: Here) -> Response:
    """Moves a checkpoint's parameters on a few labelled examples and answers with the adaptation.

    Waits for the result (`Prefer: wait=N`, or `respond-async` not to). An `Idempotency-Key` makes
    retrying safe. With `query` the answer carries predictions. An adaptation that ended `failed`
    is a 201 too: look at `status`.
    """
    read_query(request)
    prefer = parse_prefer(request.headers.getlist("prefer"))
    key = parse_idempotency_key(request.headers.getlist("idempotency-key"))
    settings = here.backends.settings
    timing = timing_of(request.scope)
    timing.mark("auth")
    content, limiter = await _read_content(request, here)
    at_once = quota_of(here, caller).adaptations_at_once
    order = await run_sync(
        partial(read_order, content, caller=caller, at_once=at_once, key=key), limiter=limiter
    )
    wait_s = wait_of(prefer, default_s=settings.wait_default_s, limit_s=settings.wait_limit_s)
    timing.mark("parse")
    adaptation, replayed = await _place(here, order, wait_s, limiter, timing)
    tell_rows_timing(timing, adaptation.timing)
    applied = preference_applied(prefer, limit_s=settings.wait_limit_s)
    return _answer(adaptation, replayed=replayed, applied=applied)


async def _read_content(request: Request, here: Service) -> tuple[Any, CapacityLimiter | None]:
    """The parsed body, and the limiter that work on a body of its size passes."""
    settings = here.backends.settings
    kind = require_media_type(request, "application/json", "multipart/form-data")
    body = await read_body(
        request,
        limit_bytes=settings.body_limit_mib * 2**20,
        timeout_s=settings.body_time_limit_s,
    )
    limiter = here.predictor.limiter_for(len(body))
    if kind == "application/json":
        return await run_sync(parse_json, body, limiter=limiter), limiter
    header = request.headers["content-type"]
    return await parse_adapt_form(body, header, max_files=settings.max_support_examples), limiter


async def _place(
    here: Service,
    order: AdaptOrder,
    wait_s: float,
    limiter: CapacityLimiter | None,
    timing: Timing,
) -> tuple[Adaptation, bool]:
    adaptation_id = new_id()
    place = partial(place_order, here.backends, order, adaptation_id)
    async with here.news.ended(adaptation_id) as ended:  # listen first, then commit
        adaptation, replayed = await run_sync(place, limiter=limiter)
        timing.mark("commit")
        bind_contextvars(adaptation_id=adaptation.id)
        if not replayed:
            log.info(
                "adaptation placed", extra={"status": adaptation.status, "steps": adaptation.steps}
            )
            adaptation = await wait_for_end(here, adaptation, ended, wait_s)
            timing.mark("wait")
            return adaptation, False
    return await join_wait(here, adaptation, wait_s), True


def _answer(adaptation: Adaptation, *, replayed: bool, applied: str | None) -> Response:
    headers = {"Location": f"/adaptations/{adaptation.id}"}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    if applied:
        headers["Preference-Applied"] = applied
    if adaptation.status in FINAL:
        return json_answer(show_adaptation(adaptation), status=201, headers=headers)
    return json_answer(
        show_adaptation(adaptation), status=202, headers=headers | {"Retry-After": "1"}
    )
