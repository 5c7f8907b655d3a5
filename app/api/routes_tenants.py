"""``/tenants``: whose everything is; the operator makes, limits and deletes them."""

import re
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter

from app.api.access import MayAdminister
from app.api.answers import HEADERS, IDEMPOTENCY_KEY, json_answer, problems
from app.api.asking import AFTER, read_key, read_part, read_small, write_part
from app.api.queries import read_query
from app.api.schemas_callers import (
    TENANT_FORM,
    Tenant,
    TenantChange,
    TenantPage,
    TenantRequest,
)
from app.api.service import Here
from app.callers.tenants import (
    Place,
    TenantOrder,
    TenantRow,
    add_tenant,
    delete_tenant,
    tenant_of,
    tenants_of,
    update_tenant,
)
from app.errors import ServiceError

PLACE: Final = TypeAdapter(Place)
router = APIRouter(tags=["tenants"])
BODY = ("invalid-json", "payload-too-large", "unsupported-media-type")


@router.post(
    "/tenants",
    status_code=201,
    response_model=Tenant,
    responses=problems("forbidden", "conflict", "validation", "idempotency-mismatch", *BODY),
    openapi_extra={"parameters": [IDEMPOTENCY_KEY]},
)
async def create(request: Request, caller: MayAdminister, here: Here) -> Response:
    """Makes a tenant; for the operator, an administrator of the tenant `default`."""
    read_query(request)
    asked, content = await read_small(request, here, TenantRequest)
    key, fingerprint = read_key(request, content)
    order = TenantOrder(
        id=asked.id, values=_values(asked), idempotency_key=key, fingerprint=fingerprint
    )
    row, replayed = await run_sync(add_tenant, here.backends, caller, order)
    headers = {"Location": f"/tenants/{row.id}"}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return json_answer(_show(row), status=201, headers=headers)


@router.get(
    "/tenants",
    response_model=TenantPage,
    responses=problems("forbidden", "validation", "invalid-cursor"),
    openapi_extra={"parameters": AFTER},
)
async def read_tenants(request: Request, caller: MayAdminister, here: Here) -> Response:
    """Every tenant, by id; for the operator."""
    bound: list[object] = ["tenants", caller.tenant_id]
    limit, after = read_part(request, PLACE, bound)
    rows, end = await run_sync(partial(tenants_of, here.backends, caller, after=after, limit=limit))
    return json_answer(TenantPage(data=[_show(row) for row in rows], **write_part(end, bound)))


@router.get(
    "/tenants/{tenant_id}",
    response_model=Tenant,
    responses=problems("forbidden", "not-found", "validation"),
)
async def read_one(request: Request, tenant_id: str, caller: MayAdminister, here: Here) -> Response:
    """One tenant: one's own, or for the operator any."""
    read_query(request)
    return json_answer(_show(await run_sync(tenant_of, here.backends, caller, _known(tenant_id))))


@router.patch(
    "/tenants/{tenant_id}",
    response_model=Tenant,
    responses=problems("forbidden", "not-found", "validation", *BODY),
)
async def change(request: Request, tenant_id: str, caller: MayAdminister, here: Here) -> Response:
    """Gives a tenant other limits or another retention of its support sets; for the operator."""
    read_query(request)
    known = _known(tenant_id)
    media_types = ("application/json", "application/merge-patch+json")
    asked, _ = await read_small(request, here, TenantChange, *media_types)
    row = await run_sync(update_tenant, here.backends, caller, known, _values(asked))
    here.memory.forget_keys()
    return json_answer(_show(row))


@router.delete(
    "/tenants/{tenant_id}",
    status_code=202,
    response_class=Response,
    responses=problems("forbidden", "not-found", "conflict", "validation"),
)
async def remove(request: Request, tenant_id: str, caller: MayAdminister, here: Here) -> Response:
    """Deletes a customer: its keys end at once, and all that it had follows; for the operator."""
    read_query(request)
    await run_sync(delete_tenant, here.backends, caller, _known(tenant_id))
    here.memory.forget_keys()
    return Response(status_code=202, headers=HEADERS)


def _known(tenant_id: str) -> str:
    if not re.fullmatch(TENANT_FORM, tenant_id) or tenant_id.endswith("\n"):
        raise ServiceError("not-found", "there is no such tenant")
    return tenant_id


def _values(asked: TenantRequest | TenantChange) -> dict[str, Any]:
    """What is given, limits as they are kept: those that are named."""
    given = {name: getattr(asked, name) for name in asked.model_fields_set - {"id"}}
    if given.get("limits") is not None:
        given["limits"] = given["limits"].model_dump(exclude_unset=True)
    return given


def _show(row: TenantRow) -> Tenant:
    return Tenant(
        id=row.id,
        limits=dict(row.limits),
        support_retention_seconds=row.support_retention_seconds,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
    )
