"""``/adaptations/{id}``: where an adaptation stands, and its parameters to take away."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from app.adaptations.exporting import adapted_file, check_format
from app.adaptations.finding import find_adaptation
from app.api.access import MayAdapt, MayPredict
from app.api.answers import HEADERS, json_answer, problems
from app.api.presenting import show_adaptation
from app.api.queries import read_adaptation_id, read_query, read_seconds
from app.api.schemas import Adaptation as Resource
from app.api.service import Here
from app.api.timing import tell_rows_timing, timing_of
from app.api.waiting import join_wait
from app.errors import refusal

router = APIRouter(tags=["adaptations"])
WAIT = {
    "name": "wait",
    "in": "query",
    "description": "Seconds to wait for the end.",
    "schema": {"type": "integer", "minimum": 0},
}
FORMAT = {
    "name": "format",
    "in": "query",
    "required": True,
    "schema": {"type": "string", "enum": ["safetensors"]},
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


@router.get(
    "/adaptations/{adaptation_id}/parameters",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "φ as .safetensors"},
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
    """The adapted parameters with everything that a prediction needs, as one file."""
    query = read_query(request, allowed=("format",))
    if "format" not in query:
        raise refusal("validation", "/format", "expected format=safetensors, got none")
    check_format(query["format"][0])
    known = read_adaptation_id(adaptation_id)
    adaptation = await run_sync(find_adaptation, here.backends, caller.tenant_id, known)
    data = await run_sync(adapted_file, here.backends, adaptation)
    headers = HEADERS | {"ETag": f'"{adaptation.phi_digest}"'}
    if _knows(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="{adaptation.id}.safetensors"'
    return Response(data, media_type="application/octet-stream", headers=headers)


def _knows(request: Request, etag: str) -> bool:
    """Whether If-None-Match names this version (RFC 9110, 13.1.2: weak comparison)."""
    given = request.headers.get("if-none-match", "").split(",")
    return bool({tag.strip().removeprefix("W/") for tag in given} & {etag, "*"})
