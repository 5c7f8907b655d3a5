"""``/metrics``: the whole service in numbers, for Prometheus."""

from typing import Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from app.api.access import MayAdminister
from app.api.answers import HEADERS, problems
from app.api.queries import read_query
from app.api.service import Here
from app.errors import ServiceError
from app.observing.exposition import MEDIA_TYPE

router = APIRouter(tags=["service"])

EXAMPLE: Final = """\
# HELP fewstep_workers Workers that live, by their device.
# TYPE fewstep_workers gauge
fewstep_workers{device="cpu"} 1.0
"""
TEXT: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Prometheus's text format, version 0.0.4.",
        "content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}},
    }
}


@router.get(
    "/metrics",
    response_class=Response,
    responses={**TEXT, **problems("validation", "forbidden")},
)
async def read_metrics(request: Request, caller: MayAdminister, here: Here) -> Response:
    """What an operator watches: queue, batches, caches, failures and requests, of all API processes
    and workers together, whichever process answers.

    For the operator, an administrator of the tenant `default`: the numbers are of all tenants.
    """
    read_query(request)
    if not caller.is_operator:
        raise ServiceError("forbidden", "expected the operator's key, got another tenant's")
    text = await run_sync(here.observed.text)
    return Response(text, headers={**HEADERS, "Content-Type": MEDIA_TYPE})
