"""``GET /predict`` for an address bar, ``POST /predict`` for many or large inputs."""

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from app.api.access import tenant_of_caller
from app.api.answers import Direct, plain_answer, problems
from app.api.body import read_body, require_media_type
from app.api.presenting import show_prediction
from app.api.queries import read_adaptation_id, read_query
from app.api.schemas import PredictRequest, PredictResponse, validate
from app.api.service import Service, service_of
from app.api.strict_json import parse_json
from app.api.timing import timing_of
from app.errors import ServiceError, refusal
from app.predictions.predicting import (
    LIGHT_BYTES,
    LIGHT_INPUTS,
    PredictOrder,
    answer,
    check_order,
    is_light,
    read_inputs,
    remembered_model,
)

router = APIRouter(tags=["predictions"], route_class=Direct)
REFUSALS = (
    "invalid-json",
    "not-found",
    "not-ready",
    "adaptation-failed",
    "expired",
    "image-too-large",
    "too-many-examples",
    "unsupported-media-type",
    "validation",
    "ragged-array",
    "shape-mismatch",
    "invalid-image",
    "needs-adaptation",
    "damaged",
)
PARAMETERS = [
    {"name": "adaptation", "in": "query", "schema": {"type": "string"}},
    {
        "name": "checkpoint",
        "in": "query",
        "description": "In place of adaptation: the unadapted θ; regression only.",
        "schema": {"type": "string"},
    },
    {
        "name": "input",
        "in": "query",
        "required": True,
        "description": "A JSON example or a data URL; may repeat.",
        "schema": {"type": "array", "items": {"type": "string"}},
        "example": ["0.5"],
    },
]


@router.get(
    "/predict",
    summary="Predict inputs in the URL",
    response_model=PredictResponse,
    responses=problems(*REFUSALS),
    openapi_extra={"parameters": PARAMETERS},
)
async def predict_in_url(request: Request) -> Response:
    """Predicts one or a few inputs that stand in the URL, which ends at 64 kB; larger ones are
    for `POST /predict`.
    """
    here, tenant = await _caller(request)
    query = read_query(request, allowed=("adaptation", "checkpoint"), repeatable=("input",))
    adaptation, checkpoint = (query.get(name, [None])[0] for name in ("adaptation", "checkpoint"))
    if (adaptation is None) == (checkpoint is None):
        got = "neither" if adaptation is None else "both"
        detail = f"expected exactly one of adaptation and checkpoint, got {got}"
        raise refusal("validation", "", detail)
    if "input" not in query:
        raise refusal("validation", "/input", "expected at least one input, got none")
    inputs = [_read_input(text, f"/input/{index}") for index, text in enumerate(query["input"])]
    order = PredictOrder(
        tenant_id=tenant,
        adaptation=None if adaptation is None else read_adaptation_id(adaptation),
        checkpoint=checkpoint,
        inputs=inputs,
        pointer="/input",
    )
    return await _answer(request, here, order, len(request.scope["query_string"]))


@router.post(
    "/predict",
    summary="Predict inputs in the body",
    response_model=PredictResponse,
    responses=problems(*REFUSALS, "payload-too-large", "length-mismatch"),
)
async def predict_in_body(request: Request) -> Response:
    """Predicts many inputs, and scores them where their targets are given."""
    here, tenant = await _caller(request)
    read_query(request)
    settings = here.backends.settings
    require_media_type(request, "application/json")
    limit_bytes = settings.body_limit_mib * 2**20
    body = await read_body(request, limit_bytes=limit_bytes, timeout_s=settings.body_time_limit_s)
    limiter = here.limiter_for(len(body))
    is_small = len(body) <= LIGHT_BYTES
    content = parse_json(body) if is_small else await run_sync(parse_json, body, limiter=limiter)
    asked = validate(PredictRequest, content)
    order = PredictOrder(
        tenant_id=tenant,
        adaptation=None if asked.adaptation is None else read_adaptation_id(asked.adaptation),
        checkpoint=asked.checkpoint,
        inputs=asked.inputs,
        targets=asked.targets,
        top_k=asked.top_k,
    )
    return await _answer(request, here, order, len(body))


async def _caller(request: Request) -> tuple[Service, str]:
    """The service, and the tenant who asks."""
    here = await service_of(request)
    tenant = await tenant_of_caller(request, here)
    timing_of(request.scope).mark("auth")
    return here, tenant


async def _answer(
    request: Request, here: Service, order: PredictOrder, size_bytes: int
) -> Response:
    timing = timing_of(request.scope)
    settings = here.backends.settings
    check_order(settings, order)
    timing.skip()
    found = remembered_model(here.memory, here.hot, order) or await here.find_model(order)
    timing.mark("find")
    limiter = here.limiter_for(size_bytes)
    if is_light(order, size_bytes):
        inputs = read_inputs(settings, found.model, order)
    else:
        inputs = await run_sync(read_inputs, settings, found.model, order, limiter=limiter)
    timing.mark("decode")
    predicted = await here.desk.predict(found.model, inputs.x)
    timing.add("wait", predicted.wait_ms)
    timing.add("forward", predicted.forward_ms)
    timing.tell("batch", predicted.batch_size)
    if len(inputs.x) <= LIGHT_INPUTS:
        return plain_answer(show_prediction(answer(found, order, inputs, predicted.outputs)))
    told = await run_sync(answer, found, order, inputs, predicted.outputs, limiter=limiter)
    return await run_sync(plain_answer, show_prediction(told), limiter=limiter)


def _read_input(text: str, pointer: str) -> Any:
    if text[:5].lower() == "data:":
        return text
    try:
        return parse_json(text.encode("utf-8", "surrogatepass"))
    except ServiceError as error:
        detail = f"expected a JSON example, or a data URL of a picture: {error.detail}"
        raise refusal(error.code, pointer, detail) from error
