"""``/checkpoints``, to change: uploads, versions, aliases, and θ to take away."""

import re
from typing import Annotated, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field

from app.api.access import AnyCaller, MayKeepCheckpoints
from app.api.answers import HEADERS, IDEMPOTENCY_KEY, is_known, json_answer, problems
from app.api.asking import read_small
from app.api.body import require_media_type
from app.api.forms import Request as Body
from app.api.headers import parse_idempotency_key
from app.api.presenting import show_checkpoint
from app.api.queries import read_query
from app.api.receiving import received
from app.api.schemas import CheckpointResource
from app.api.service import Here
from app.backends import check_free_space
from app.checkpoints.keeping import (
    delete_checkpoint,
    end_alias,
    file_of,
    set_alias,
    version_of,
)
from app.checkpoints.registry import LAST_VERSION, NAME
from app.errors import ServiceError

NUMBER: Final = re.compile("[1-9][0-9]{0,9}")
MEDIA_TYPES: Final = ("application/octet-stream", "application/vnd.safetensors")
VERSION: Final = "/checkpoints/{name}/versions/{version}"
ALIAS: Final = "/checkpoints/{name}/aliases/{alias}"
router = APIRouter(tags=["checkpoints"])


class AliasRequest(Body):
    """Which version the alias stands for."""

    model_config = ConfigDict(json_schema_extra={"example": {"version": 1}})

    version: Annotated[int, Field(ge=1)]


@router.post(
    "/checkpoints",
    status_code=201,
    response_model=CheckpointResource,
    responses={
        200: {"model": CheckpointResource, "description": "These bytes are a version already"},
        **problems(
            "forbidden",
            "payload-too-large",
            "unsupported-media-type",
            "validation",
            "invalid-checkpoint",
            "tensor-mismatch",
            "non-finite-weights",
            "idempotency-mismatch",
            "store-full",
        ),
    },
    openapi_extra={
        "parameters": [IDEMPOTENCY_KEY],
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES
            },
        },
    },
)
async def upload(request: Request, caller: MayKeepCheckpoints, here: Here) -> Response:
    """Takes a checkpoint file, as `fewstep train` writes it, and makes it a version of its name.

    It is checked against the network that it names before anything else sees it. The same bytes
    again are the version that they are.
    """
    from app.checkpoints.uploading import Upload, take_checkpoint

    read_query(request)
    key = parse_idempotency_key(request.headers.getlist("idempotency-key"))
    require_media_type(request, *MEDIA_TYPES)
    await run_sync(check_free_space, here.backends)  # before the body is read
    settings = here.backends.settings
    async with received(
        request,
        settings.data_dir / "uploads",
        limit_bytes=settings.checkpoint_limit_mib * 2**20,
        timeout_s=settings.checkpoint_time_limit_s,
    ) as body:
        found = Upload(
            tenant_id=caller.tenant_id,
            path=body.path,
            size=body.size,
            digest=body.digest,
            key=key,
        )
        taken = await run_sync(take_checkpoint, here.backends, found)
    ref = taken.row.ref
    headers = {"Location": f"/checkpoints/{ref.name}/versions/{ref.version}"}
    if taken.replayed:
        headers["Idempotency-Replayed"] = "true"
    return json_answer(
        show_checkpoint(taken.row), status=201 if taken.is_new else 200, headers=headers
    )


@router.get(
    VERSION, response_model=CheckpointResource, responses=problems("not-found", "validation")
)
async def read_version(
    request: Request, name: str, version: str, caller: AnyCaller, here: Here
) -> Response:
    """One version of a checkpoint."""
    read_query(request)
    number = _known(name, version)
    row = await run_sync(version_of, here.backends, caller.tenant_id, name, number)
    return json_answer(show_checkpoint(row))


@router.get(
    f"{VERSION}/parameters",
    response_class=Response,
    responses={
        200: {
            "content": {"application/octet-stream": {}},
            "description": "The file as it was added",
        },
        304: {"description": "Unchanged"},
        **problems("forbidden", "not-found", "validation", "damaged"),
    },
)
async def download(
    request: Request, name: str, version: str, caller: MayKeepCheckpoints, here: Here
) -> Response:
    """θ with all that it belongs to, as one .safetensors file."""
    read_query(request)
    number = _known(name, version)
    row = await run_sync(version_of, here.backends, caller.tenant_id, name, number)
    headers = HEADERS | {"ETag": f'"{row.ref.digest}"'}
    if is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    data = await run_sync(file_of, here.backends, row)
    headers["Content-Disposition"] = f'attachment; filename="{name}-{number}.safetensors"'
    return Response(data, media_type="application/octet-stream", headers=headers)


@router.delete(
    VERSION,
    status_code=204,
    response_class=Response,
    responses=problems("forbidden", "not-found", "in-use", "validation"),
)
async def remove(
    request: Request, name: str, version: str, caller: MayKeepCheckpoints, here: Here
) -> Response:
    """Ends one of this tenant's own versions that nothing needs; its number stays its own."""
    read_query(request)
    number = _known(name, version)
    await run_sync(delete_checkpoint, here.backends, caller.tenant_id, name, number)
    return Response(status_code=204, headers=HEADERS)


@router.put(
    ALIAS,
    response_model=CheckpointResource,
    responses={
        201: {"model": CheckpointResource, "description": "The alias is new"},
        **problems(
            "invalid-json",
            "forbidden",
            "not-found",
            "payload-too-large",
            "unsupported-media-type",
            "validation",
        ),
    },
)
async def put_alias(
    request: Request, name: str, alias: str, caller: MayKeepCheckpoints, here: Here
) -> Response:
    """Has `name@alias` stand for a version, for this tenant. `default` is what `name` alone stands
    for; without it that is the newest.
    """
    read_query(request)
    asked, _ = await read_small(request, here, AliasRequest)
    if not re.fullmatch(NAME, name) or not re.fullmatch(NAME, alias):
        raise ServiceError("not-found", "there is no such checkpoint")
    chosen = (here.backends, caller.tenant_id, name, alias, min(asked.version, LAST_VERSION))
    row, is_new = await run_sync(set_alias, *chosen)
    return json_answer(show_checkpoint(row), status=201 if is_new else 200)


@router.delete(
    ALIAS,
    status_code=204,
    response_class=Response,
    responses=problems("forbidden", "not-found", "validation"),
)
async def remove_alias(
    request: Request, name: str, alias: str, caller: MayKeepCheckpoints, here: Here
) -> Response:
    """Ends an alias of this tenant; the version that it stood for stays."""
    read_query(request)
    await run_sync(end_alias, here.backends, caller.tenant_id, name, alias)
    return Response(status_code=204, headers=HEADERS)


def _known(name: str, version: str) -> int:
    """The number of a version that there could be. Raises ServiceError not-found."""
    if not re.fullmatch(NAME, name) or not NUMBER.fullmatch(version) or int(version) > LAST_VERSION:
        raise ServiceError("not-found", "there is no such checkpoint")
    return int(version)
