"""``/adaptations/{id}``: where an adaptation stands, what is to change of it, and its parameters
to take away.
"""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from app.adaptations.changing import cancel_adaptation, change_adaptation, delete_adaptation
from app.adaptations.exporting import FORMATS, check_format, exported
from app.adaptations.finding import find_adaptation
from app.adaptations.results import check_ended_well
from app.api.access import MayAdapt, MayPredict
from app.api.answers import HEADERS, is_known, json_answer, problems
from app.api.body import read_body, require_media_type
from app.api.presenting import show_adaptation
from app.api.queries import read_adaptation_id, read_query, read_seconds
from app.api.schemas import Adaptation as Resource
from app.api.schemas_adaptations import AdaptationChange
from app.api.service import Here
from app.api.strict_json import parse_json
from app.api.timing import tell_rows_timing, timing_of
from app.api.validating import validate
from app.api.waiting import join_wait
from app.errors import refusal

CHANGE_BYTES = 2**17  # sixteen strings of metadata, however they are escaped
router = APIRouter(tags=["adaptations"])
WAIT = {
    "name": "wait",
    "in": "query",
    "description": "Seconds to wait for the end.",
    "schema": {"type": "integer", "minimum": 0},
}
MEDIA_TYPES = {
    "safetensors": "application/octet-stream",
    "npz": "application/zip",
    "onnx": "application/onnx",
}
FORMAT = {
    "name": "format",
    "in": "query",
    "required": True,
    "schema": {"type": "string", "enum": list(FORMATS)},
}


@router.get(
    "/adaptations/{adaptation_id}",
    response_model=Resource,
    responses=problems("forbidden", "not-found", "validation"),
    openapi_extra={"parameters": [WAIT]},
)
async def read_adaptation(
    request: Request, adaptation_id: str, caller: MayAdapt, here: Here
) -> Response:
    """The adaptation as it stands, or, with `wait`, when it has ended."""
    query = read_query(request, allowed=("wait",))
    limit = here.backends.settings.wait_limit_s
    seconds = read_seconds(query["wait"][0], limit=limit, pointer="/wait") if query else 0
    known = read_adaptation_id(adaptation_id)
    adaptation = await run_sync(find_adaptation, here.backends, caller.tenant_id, known)
    adaptation = await join_wait(here, adaptation, seconds) if seconds else adaptation
    tell_rows_timing(timing_of(request.scope), adaptation.timing)
    return json_answer(show_adaptation(adaptation))


@router.patch(
    "/adaptations/{adaptation_id}",
    response_model=Resource,
    responses=problems(
        "invalid-json",
        "forbidden",
        "not-found",
        "expired",
        "payload-too-large",
        "unsupported-media-type",
        "validation",
    ),
)
async def update_adaptation(
    request: Request, adaptation_id: str, caller: MayAdapt, here: Here
) -> Response:
    """Renames it, gives it other metadata, or another time to live: what is left out stays."""
    read_query(request)
    known = read_adaptation_id(adaptation_id)
    require_media_type(request, "application/json", "application/merge-patch+json")
    limit_s = here.backends.settings.body_time_limit_s
    body = await read_body(request, limit_bytes=CHANGE_BYTES, timeout_s=limit_s)
    asked = validate(AdaptationChange, parse_json(body))
    values = {name: getattr(asked, name) for name in asked.model_fields_set}
    if "metadata" in values:
        values["metadata"] = values["metadata"] or {}
    changed = await run_sync(change_adaptation, here.backends, caller.tenant_id, known, values)
    return json_answer(show_adaptation(changed))


@router.delete(
    "/adaptations/{adaptation_id}",
    status_code=204,
    response_class=Response,
    responses=problems("forbidden", "not-found", "validation"),
)
async def remove_adaptation(
    request: Request, adaptation_id: str, caller: MayAdapt, here: Here
) -> Response:
    """Deletes it, wherever it stands, with its events; its stored bytes follow after a grace."""
    read_query(request)
    known = read_adaptation_id(adaptation_id)
    await run_sync(delete_adaptation, here.backends, caller.tenant_id, known)
    return Response(status_code=204, headers=HEADERS)


@router.post(
    "/adaptations/{adaptation_id}/cancel",
    response_model=Resource,
    responses=problems("forbidden", "not-found", "conflict", "validation"),
)
async def stop_adaptation(
    request: Request, adaptation_id: str, caller: MayAdapt, here: Here
) -> Response:
    """Cancels it while it is queued or running, which stops between two steps. Cancelled before, it
    is answered as it stands.
    """
    read_query(request)
    known = read_adaptation_id(adaptation_id)
    cancelled = await run_sync(cancel_adaptation, here.backends, caller.tenant_id, known)
    return json_answer(show_adaptation(cancelled))


@router.get(
    "/adaptations/{adaptation_id}/parameters",
    response_class=Response,
    responses={
        200: {
            "content": {kind: {} for kind in MEDIA_TYPES.values()},
            "description": "φ as the file that was asked for",
        },
        304: {"description": "Unchanged"},
        **problems(
            "forbidden",
            "not-found",
            "validation",
            "not-ready",
            "adaptation-failed",
            "expired",
            "damaged",
        ),
    },
    openapi_extra={"parameters": [FORMAT]},
)
async def download_parameters(
    request: Request, adaptation_id: str, caller: MayPredict, here: Here
) -> Response:
    """The adapted parameters with everything that a prediction needs, as one file: `safetensors` or
    `npz` with the tensors by name, or `onnx`, a graph that maps the preprocessed tensor to what
    `/predict` gives.
    """
    query = read_query(request, allowed=("format",))
    if "format" not in query:
        raise refusal("validation", "/format", f"expected one of {', '.join(FORMATS)}, got none")
    wanted = query["format"][0]
    check_format(wanted)
    known = read_adaptation_id(adaptation_id)
    adaptation = await run_sync(find_adaptation, here.backends, caller.tenant_id, known)
    check_ended_well(adaptation)
    headers = HEADERS | {"ETag": f'"{adaptation.phi_digest}.{wanted}"'}
    if is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    data = await run_sync(exported, here.backends, adaptation, wanted)
    headers["Content-Disposition"] = f'attachment; filename="{adaptation.id}.{wanted}"'
    return Response(data, media_type=MEDIA_TYPES[wanted], headers=headers)
