"""``/keys``: an administrator's keys, made, listed and ended."""

import re
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter

from app.api.access import MayAdminister
from app.api.answers import HEADERS, IDEMPOTENCY_KEY, json_answer, problems
from app.api.asking import AFTER, read_key, read_part, read_small, write_part
from app.api.queries import read_query
from app.api.schemas_callers import Key, KeyPage, KeyRequest, NewKey
from app.api.service import Here
from app.callers.keys import KeyOrder, KeyRow, Place, end_key, key_of, keys_of, make_key
from app.errors import ServiceError

PLACE: Final = TypeAdapter(Place)
KEY_ID: Final = re.compile(r"key_[0-9a-f]{32}")
router = APIRouter(tags=["keys"])


@router.post(
    "/keys",
    status_code=201,
    response_model=NewKey,
    responses=problems(
        "invalid-json",
        "forbidden",
        "conflict",
        "payload-too-large",
        "unsupported-media-type",
        "validation",
        "idempotency-mismatch",
    ),
    openapi_extra={"parameters": [IDEMPOTENCY_KEY]},
)
async def create(request: Request, caller: MayAdminister, here: Here) -> Response:
    """Makes a key and answers with its secret, this once; only its hash is kept.

    It can do nothing that the asking key cannot. The first key of all turns keys on: from then on
    every request needs one. Asked for again under the same `Idempotency-Key`, it comes without its
    secret.
    """
    read_query(request)
    asked, content = await read_small(request, here, KeyRequest)
    key, fingerprint = read_key(request, content)
    order = KeyOrder(
        name=asked.name,
        scopes=asked.scopes,
        lifetime_s=asked.expires_in_seconds,
        tenant_id=asked.tenant,
        idempotency_key=key,
        fingerprint=fingerprint,
    )
    made = await run_sync(make_key, here.backends, caller, order)
    here.memory.forget_keys()
    headers = {"Location": f"/keys/{made.row.id}"}
    if made.secret is None:
        headers["Idempotency-Replayed"] = "true"
    shown = NewKey(**_show(made.row).model_dump(), secret=made.secret)
    return json_answer(shown, status=201, headers=headers)


@router.get(
    "/keys",
    response_model=KeyPage,
    responses=problems("forbidden", "validation", "invalid-cursor"),
    openapi_extra={"parameters": AFTER},
)
async def read_keys(request: Request, caller: MayAdminister, here: Here) -> Response:
    """This tenant's keys, oldest first, without their secrets, those that ended among them."""
    bound = ["keys", caller.tenant_id]
    limit, after = read_part(request, PLACE, bound)
    rows, end = await run_sync(partial(keys_of, here.backends, caller, after=after, limit=limit))
    return json_answer(KeyPage(data=[_show(row) for row in rows], **write_part(end, bound)))


@router.get(
    "/keys/{key_id}",
    response_model=Key,
    responses=problems("forbidden", "not-found", "validation"),
)
async def read_one(request: Request, key_id: str, caller: MayAdminister, here: Here) -> Response:
    """One key, without its secret."""
    read_query(request)
    row = await run_sync(key_of, here.backends, caller, _known(key_id))
    return json_answer(_show(row))


@router.delete(
    "/keys/{key_id}",
    status_code=204,
    response_class=Response,
    responses=problems("forbidden", "not-found", "conflict", "validation"),
)
async def revoke(request: Request, key_id: str, caller: MayAdminister, here: Here) -> Response:
    """Ends a key at once, for good; the last one that could make another of its tenant stays."""
    read_query(request)
    await run_sync(end_key, here.backends, caller, _known(key_id))
    here.memory.forget_keys()
    return Response(status_code=204, headers=HEADERS)


def _known(key_id: str) -> str:
    if not KEY_ID.fullmatch(key_id):
        raise ServiceError("not-found", "there is no such key")
    return key_id


def _show(row: KeyRow) -> Key:
    return Key(
        id=row.id,
        tenant=row.tenant_id,
        name=row.name,
        scopes=list(row.scopes),
        status=_status(row),
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        expires_at=_time(row.expires_at),
        revoked_at=_time(row.revoked_at),
    )


def _status(row: KeyRow) -> Literal["live", "expired", "revoked"]:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.is_expired else "live"


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
