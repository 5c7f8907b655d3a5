"""``/v2``: predictions by the Open Inference Protocol (KServe), for clients that speak it.

A model is an adaptation. Refusals are problems as everywhere, with their words also as ``error``,
where the protocol's clients look for them.
"""

import json
import re
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from app.adaptations.finding import find_adaptation
from app.adaptations.results import check_ended_well
from app.api.access import MayPredict
from app.api.answers import HEADERS, problems
from app.api.body import read_body, require_media_type
from app.api.inference_tensors import INPUT, InferRequest, examples_in, tensor_out
from app.api.queries import read_adaptation_id, read_query
from app.api.service import Here
from app.api.strict_json import parse_json
from app.api.timing import timing_of
from app.api.validating import validate
from app.backends import missing_part
from app.errors import ServiceError, refusal
from app.inputs.support_sets import Given
from app.predictions.models import find_model, said_beside
from app.predictions.predicting import PredictOrder, predict

router = APIRouter(tags=["inference protocol"])
HEADER_LENGTH: Final = "Inference-Header-Content-Length"
MODEL: Final = "/v2/models/{adaptation_id}"
PUBLIC: Final[dict[str, Any]] = {"security": []}
JSON: Final = {"content": {"application/json": {"schema": {"type": "object"}}}}
OK: Final[dict[int | str, dict[str, Any]]] = {200: {**JSON, "description": "As the protocol says"}}
ENDED: Final = ("forbidden", "not-found", "not-ready", "adaptation-failed", "expired", "damaged")


@router.get("/v2", responses=OK | problems("validation", public=True), openapi_extra=PUBLIC)
async def read_server(request: Request) -> Response:
    """What answers here, and which extensions of the protocol it has."""
    read_query(request)
    about = {"name": "fewstep", "version": version("fewstep"), "extensions": ["binary_tensor_data"]}
    return JSONResponse(about, headers=HEADERS)


@router.get(
    "/v2/health/live", responses=OK | problems("validation", public=True), openapi_extra=PUBLIC
)
async def is_live(request: Request) -> Response:
    """This process answers."""
    read_query(request)
    return JSONResponse({"live": True}, headers=HEADERS)


@router.get(
    "/v2/health/ready",
    responses=OK | problems("validation", "unavailable", public=True),
    openapi_extra=PUBLIC,
)
async def is_ready(request: Request, here: Here) -> Response:
    """Database, broker and a live worker are there."""
    read_query(request)
    missing = await run_sync(missing_part, here.backends)
    if missing:
        raise ServiceError("unavailable", f"not ready: {missing}", retry_after_s=1)
    return JSONResponse({"ready": True}, headers=HEADERS)


@router.get(MODEL, responses=OK | problems(*ENDED, "validation"))
async def read_model(
    request: Request, adaptation_id: str, caller: MayPredict, here: Here
) -> Response:
    """The inputs and outputs of an adaptation as a model of the protocol."""
    read_query(request)
    known, hot = read_adaptation_id(adaptation_id), here.predictor.hot
    found = await run_sync(find_model, here.backends, hot, caller.tenant_id, known, None)
    about, classes = found.model.about, found.model.classes
    beside = said_beside(found.model)
    outputs: list[tuple[str, str, list[int]]] = [("value", "FP32", [-1, about.outputs])]
    if about.policy is not None:
        outputs = _acted(about.outputs, is_discrete=about.policy["actions"] == "discrete")
    if classes is not None:
        outputs = [("label", "BYTES", [-1]), ("probabilities", "FP32", [-1, len(classes)])]
    if beside is not None:
        outputs.append((beside, "FP32", [-1] if classes is not None else [-1, about.outputs]))
    told = {
        "name": known,
        "platform": "fewstep",
        "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, *about.input_shape]}],
        "outputs": [{"name": n, "datatype": d, "shape": s} for n, d, s in outputs],
        "parameters": {"classes": list(classes)} if classes is not None else {},
    }
    return JSONResponse(told, headers=HEADERS)


@router.get(f"{MODEL}/ready", responses=OK | problems(*ENDED, "validation"))
async def is_model_ready(
    request: Request, adaptation_id: str, caller: MayPredict, here: Here
) -> Response:
    """Whether an adaptation has ended well."""
    read_query(request)
    known = read_adaptation_id(adaptation_id)
    check_ended_well(await run_sync(find_adaptation, here.backends, caller.tenant_id, known))
    return JSONResponse({"name": known, "ready": True}, headers=HEADERS)


@router.post(
    f"{MODEL}/infer",
    responses=OK
    | problems(
        *ENDED,
        "invalid-json",
        "image-too-large",
        "too-many-examples",
        "payload-too-large",
        "unsupported-media-type",
        "validation",
        "ragged-array",
        "shape-mismatch",
        "invalid-image",
    ),
)
async def infer(request: Request, adaptation_id: str, caller: MayPredict, here: Here) -> Response:
    """Predicts with an adaptation: one tensor `input`, whose rows are as in `POST /predict`, also
    strings (BYTES): text, or data URLs of pictures.
    """
    read_query(request)
    known = read_adaptation_id(adaptation_id)
    asked, raw, size = await _read(request, here)
    tensor = asked.inputs[0]
    if tensor.name != INPUT:
        raise refusal("validation", "/inputs/0/name", f"expected {INPUT}, got another name")
    limiter = here.predictor.limiter_for(size)
    rows = await run_sync(examples_in, tensor, raw, limiter=limiter)
    given = Given(inputs=rows, inputs_at="/inputs/0/data", targets_at="")
    order = PredictOrder(
        tenant_id=caller.tenant_id,
        adaptation=known,
        checkpoint=None,
        given=given,
        size_bytes=size,
        is_pure=True,
    )
    told = await predict(here.predictor, order, timing_of(request.scope))
    here.meter.count(caller, "predictions", len(given.inputs))
    return _answer(asked, known, _outputs(told["predictions"]))


async def _read(request: Request, here: Here) -> tuple[InferRequest, bytes, int]:
    """The request, the bytes behind its JSON, and how large both are."""
    settings = here.backends.settings
    length = request.headers.get(HEADER_LENGTH)
    if "content-type" in request.headers:  # clients of the protocol send none
        require_media_type(request, "application/json", "application/octet-stream")
    limit_bytes = settings.body_limit_mib * 2**20
    body = await read_body(request, limit_bytes=limit_bytes, timeout_s=settings.body_time_limit_s)
    if length is not None and not (re.fullmatch("[0-9]{1,9}", length) and int(length) <= len(body)):
        raise ServiceError("bad-request", f"expected the length of the JSON in {HEADER_LENGTH}")
    end = len(body) if length is None else int(length)
    limiter = here.predictor.limiter_for(len(body))
    content = await run_sync(parse_json, body[:end], limiter=limiter)
    return validate(InferRequest, content), body[end:], len(body)


def _acted(size: int, *, is_discrete: bool) -> list[tuple[str, str, list[int]]]:
    """The outputs of a policy: its likeliest action, and what it was told by."""
    if is_discrete:
        return [("action", "FP32", [-1]), ("probabilities", "FP32", [-1, size])]
    return [(name, "FP32", [-1, size]) for name in ("action", "mean", "std")]


def _outputs(predictions: list[dict[str, Any]]) -> dict[str, Any]:
    """What ``/predict`` says, as tensors by name."""
    first = predictions[0]
    if "sampled_action" in first:
        told = [name for name in ("action", "mean", "std", "probabilities") if name in first]
        return {name: np.array([one[name] for one in predictions], float) for name in told}
    if "label" not in first:
        found: dict[str, Any] = {"value": np.array([one["value"] for one in predictions])}
        if first.get("standard_deviation") is not None:
            told = [one["standard_deviation"] for one in predictions]
            found["standard_deviation"] = np.array(told)
        return found
    found = {
        "label": [str(one["label"]) for one in predictions],
        "probabilities": np.array([[*one["probabilities"].values()] for one in predictions]),
    }
    if first.get("novelty") is not None:
        found["novelty"] = np.array([one["novelty"] for one in predictions])
    return found


def _answer(asked: InferRequest, name: str, outputs: dict[str, Any]) -> Response:
    named = {one.name: one.parameters for one in asked.outputs or ()}
    wanted = named or {one: {} for one in outputs}
    unknown = [number for number, one in enumerate(wanted) if one not in outputs]
    if unknown:
        place = f"/outputs/{unknown[0]}/name"
        raise refusal("validation", place, f"expected one of {', '.join(outputs)}")
    usual = bool(asked.parameters.get("binary_data_output", False))
    told = [
        tensor_out(one, outputs[one], binary=bool(own.get("binary_data", usual)))
        for one, own in wanted.items()
    ]
    about: dict[str, Any] = {"model_name": name, "model_version": "1"}
    about |= {"id": asked.id} if asked.id is not None else {}
    text = json.dumps(about | {"outputs": [one for one, _ in told]}, allow_nan=False).encode()
    raw = b"".join(one for _, one in told)
    if not raw:
        return Response(text, media_type="application/json", headers=HEADERS)
    headers = HEADERS | {HEADER_LENGTH: str(len(text))}
    return Response(text + raw, media_type="application/octet-stream", headers=headers)
