"""The service about itself: alive, ready, its limits, its problems."""

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from app.api.access import AnyCaller
from app.api.answers import HEADERS, json_answer, problems
from app.api.presenting import show_limits
from app.api.queries import read_query
from app.api.schemas_service import Limits
from app.api.service import Here
from app.backends import Backends, devices, missing_part
from app.checkpoints.registry import ways_by_name
from app.errors import PROBLEMS, ServiceError

router = APIRouter(tags=["service"])


PUBLIC: dict[str, Any] = {"security": []}


@router.get(
    "/livez",
    response_class=JSONResponse,
    responses=problems("validation", public=True),
    openapi_extra=PUBLIC,
)
async def alive(request: Request) -> Response:
    """This process answers."""
    read_query(request)
    return JSONResponse({"status": "alive"}, headers=HEADERS)


@router.get(
    "/readyz",
    response_class=JSONResponse,
    responses=problems("validation", "unavailable", public=True),
    openapi_extra=PUBLIC,
)
async def ready(request: Request, here: Here) -> Response:
    """Database, broker and a live worker are there; else 503 with the part that is missing."""
    read_query(request)
    missing = await run_sync(missing_part, here.backends)
    if missing:
        raise ServiceError("unavailable", f"not ready: {missing}", retry_after_s=1)
    return JSONResponse({"status": "ready"}, headers=HEADERS)


@router.get("/limits", response_model=Limits, responses=problems("validation"))
async def read_limits(request: Request, caller: AnyCaller, here: Here) -> Response:
    """What this service accepts."""
    read_query(request)
    return json_answer(await run_sync(_limits, here.backends, caller.tenant_id))


@router.get(
    "/problems/{code}",
    response_class=JSONResponse,
    responses=problems("not-found", "validation", public=True),
    openapi_extra=PUBLIC,
)
async def read_problem(request: Request, code: str) -> Response:
    """What a problem's `type` means."""
    read_query(request)
    if code not in PROBLEMS:
        raise ServiceError("not-found", "there is no such problem")
    status, title = PROBLEMS[code]
    return JSONResponse({"code": code, "status": status, "title": title}, headers=HEADERS)


@router.get("/", include_in_schema=False)
async def root(request: Request) -> Response:
    read_query(request)
    return RedirectResponse("/docs", status_code=307)


def _limits(backends: Backends, tenant: str) -> Limits:
    ways = ways_by_name(backends.engine, tenant)
    return show_limits(backends.settings, ways, devices(backends))
