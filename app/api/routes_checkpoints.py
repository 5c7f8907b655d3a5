"""``/checkpoints``: what there is to adapt."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from app.api.access import AnyCaller
from app.api.answers import json_answer, problems
from app.api.presenting import show_checkpoint
from app.api.queries import read_query
from app.api.schemas import CheckpointPage, CheckpointResource
from app.api.service import Here
from app.checkpoints.registry import REFERENCE, find_checkpoint, list_checkpoints, parse_reference
from app.errors import ServiceError

router = APIRouter(tags=["checkpoints"])


@router.get(
    "/checkpoints",
    response_model=CheckpointPage,
    responses=problems("validation"),
)
async def read_checkpoints(request: Request, caller: AnyCaller, here: Here) -> Response:
    """Every version of every checkpoint that this key can use."""
    read_query(request)
    rows = await run_sync(list_checkpoints, here.backends.engine, caller.tenant_id)
    data = [show_checkpoint(row) for row in rows]
    return json_answer(CheckpointPage(data=data, has_more=False, next=None))


@router.get(
    "/checkpoints/{name}",
    response_model=CheckpointResource,
    responses=problems("not-found", "validation"),
)
async def read_checkpoint(request: Request, name: str, caller: AnyCaller, here: Here) -> Response:
    """One checkpoint: its default version, or another as `name:3`."""
    read_query(request)
    if not REFERENCE.fullmatch(name):
        raise ServiceError("not-found", "there is no such checkpoint")
    row = await run_sync(
        find_checkpoint, here.backends.engine, caller.tenant_id, parse_reference(name)
    )
    return json_answer(show_checkpoint(row))
