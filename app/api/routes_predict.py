"""``GET /predict`` for an address bar, ``POST /predict`` for many or large inputs."""

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from app.api.access import MayPredict, direct
from app.api.answers import plain_answer, problems
from app.api.body import read_body, require_media_type
from app.api.presenting import show_prediction
from app.api.queries import read_adaptation_id, read_query, read_truth
from app.api.schemas import PredictRequest, PredictResponse
from app.api.service import service_of
from app.api.strict_json import parse_json
from app.api.timing import timing_of
from app.api.validating import validate
from app.errors import ServiceError, refusal
from app.inputs.support_sets import Given
from app.predictions.predicting import LIGHT_BYTES, LIGHT_INPUTS, PredictOrder, predict
from app.values.caller import Caller

router = APIRouter(tags=["predictions"])
REFUSALS = (
    "invalid-json",
    "forbidden",
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
    "invalid-checkpoint",
    "needs-adaptation",
    "damaged",
)
PARAMETERS = [
    {"name": "adaptation", "in": "query", "schema": {"type": "string"}},
    {
        "name": "checkpoint",
        "in": "query",
        "description": "In place of adaptation: the unadapted θ; not of classifiers.",
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
    {
        "name": "reject",
        "in": "query",
        "description": "Give no label to what is like none of the support; classification only.",
        "schema": {"type": "boolean", "default": False},
    },
]
ALLOWED = ("adaptation", "checkpoint", "reject")


@router.get(
    "/predict",
    summary="Predict inputs in the URL",
    response_model=PredictResponse,
    responses=problems(*REFUSALS),
    openapi_extra={"parameters": PARAMETERS},
)
async def predict_in_url(request: Request, caller: MayPredict) -> Response:
    """Predicts one or a few inputs that stand in the URL, which ends at 64 kB; larger ones are
    for `POST /predict`.
    """
    query = read_query(request, allowed=ALLOWED, repeatable=("input",))
    adaptation, checkpoint = (query.get(name, [None])[0] for name in ("adaptation", "checkpoint"))
    if (adaptation is None) == (checkpoint is None):
        got = "neither" if adaptation is None else "both"
        detail = f"expected exactly one of adaptation and checkpoint, got {got}"
        raise refusal("validation", "", detail)
    if "input" not in query:
        raise refusal("validation", "/input", "expected at least one input, got none")
    inputs = [_read_input(text, f"/input/{index}") for index, text in enumerate(query["input"])]
    order = PredictOrder(
        tenant_id=caller.tenant_id,
        adaptation=None if adaptation is None else read_adaptation_id(adaptation),
        checkpoint=checkpoint,
        given=Given(inputs=inputs, inputs_at="/input", targets_at=""),
        size_bytes=len(request.scope["query_string"]),
        reject=read_truth(query.get("reject", ["false"])[0], pointer="/reject"),
        is_pure=True,
    )
    return await _answer(request, caller, order)


@router.post(
    "/predict",
    summary="Predict inputs in the body",
    response_model=PredictResponse,
    responses=problems(*REFUSALS, "payload-too-large", "length-mismatch"),
)
async def predict_in_body(request: Request, caller: MayPredict) -> Response:
    """Predicts many inputs, and scores them where their targets are given."""
    read_query(request)
    here = await service_of(request)
    settings = here.backends.settings
    require_media_type(request, "application/json")
    limit_bytes = settings.body_limit_mib * 2**20
    body = await read_body(request, limit_bytes=limit_bytes, timeout_s=settings.body_time_limit_s)
    limiter = here.predictor.limiter_for(len(body))
    is_small = len(body) <= LIGHT_BYTES
    content = parse_json(body) if is_small else await run_sync(parse_json, body, limiter=limiter)
    asked = validate(PredictRequest, content)
    order = PredictOrder(
        tenant_id=caller.tenant_id,
        adaptation=None if asked.adaptation is None else read_adaptation_id(asked.adaptation),
        checkpoint=asked.checkpoint,
        given=Given(
            inputs=asked.inputs,
            targets=asked.targets,
            inputs_at="/inputs",
            targets_at="/targets",
        ),
        size_bytes=len(body),
        top_k=asked.top_k,
        reject=asked.reject,
        deterministic=asked.deterministic,
        seeds=asked.seeds,
    )
    return await _answer(request, caller, order)


async def _answer(request: Request, caller: Caller, order: PredictOrder) -> Response:
    here = await service_of(request)
    predictor = here.predictor
    told = show_prediction(await predict(predictor, order, timing_of(request.scope)))
    here.meter.count(caller, "predictions", len(order.given.inputs))
    if len(order.given.inputs) <= LIGHT_INPUTS:
        return plain_answer(told)
    limiter = predictor.limiter_for(order.size_bytes)
    return await run_sync(plain_answer, told, limiter=limiter)


def _read_input(text: str, pointer: str) -> Any:
    if text[:5].lower() == "data:":
        return text
    try:
        return parse_json(text.encode("utf-8", "surrogatepass"))
    except ServiceError as error:
        detail = f"expected a JSON example, or a data URL of a picture: {error.detail}"
        raise refusal(error.code, pointer, detail) from error


# Solving FastAPI's dependencies costs as much as answering: it documents these routes, and
# Starlette's own serve them.
routes = [direct(route) for route in router.routes if isinstance(route, APIRoute)]
