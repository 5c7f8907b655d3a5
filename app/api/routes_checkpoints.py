"""``/checkpoints``: what there is to adapt."""

from functools import partial
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from pydantic import Field, TypeAdapter

from app.api.access import AnyCaller
from app.api.answers import json_answer, problems
from app.api.paging import NAMES, PARAMETERS, read_cursor, read_limit, write_cursor
from app.api.presenting import show_checkpoint
from app.api.queries import read_query
from app.api.schemas import CheckpointPage, CheckpointResource
from app.api.service import Here
from app.checkpoints.registry import (
    LAST_VERSION,
    NAME,
    REFERENCE,
    find_checkpoint,
    list_checkpoints,
    parse_reference,
    with_aliases,
)
from app.errors import ServiceError

router = APIRouter(tags=["checkpoints"])
# Name, number, whether it is a shared one.
PLACE = TypeAdapter(
    tuple[
        Annotated[str, Field(pattern=rf"^{NAME}$")],
        Annotated[int, Field(ge=1, le=LAST_VERSION)],
        bool,
    ]
)


@router.get(
    "/checkpoints",
    response_model=CheckpointPage,
    responses=problems("validation", "invalid-cursor"),
    openapi_extra={"parameters": PARAMETERS},
)
async def read_checkpoints(request: Request, caller: AnyCaller, here: Here) -> Response:
    """Every version of every checkpoint that this key can use, in parts."""
    query = read_query(request, allowed=NAMES)
    limit, after = read_limit(query), read_cursor(query, PLACE)
    listed = partial(
        list_checkpoints, here.backends.engine, caller.tenant_id, after=after, limit=limit
    )
    part = await run_sync(listed)
    rows = await run_sync(with_aliases, here.backends.engine, caller.tenant_id, part.rows)
    data = [show_checkpoint(row) for row in rows]
    following = None if part.end is None else write_cursor(part.end)
    page = CheckpointPage(data=data, has_more=following is not None, next=following)
    return json_answer(page)


@router.get(
    "/checkpoints/{name}",
    response_model=CheckpointResource,
    responses=problems("not-found", "validation"),
)
async def read_checkpoint(request: Request, name: str, caller: AnyCaller, here: Here) -> Response:
    """One checkpoint: its default version, or another as `name:3` or `name@alias`."""
    read_query(request)
    if not REFERENCE.fullmatch(name):
        raise ServiceError("not-found", "there is no such checkpoint")
    row = await run_sync(
        find_checkpoint, here.backends.engine, caller.tenant_id, parse_reference(name)
    )
    [shown] = await run_sync(with_aliases, here.backends.engine, caller.tenant_id, [row])
    return json_answer(show_checkpoint(shown))
