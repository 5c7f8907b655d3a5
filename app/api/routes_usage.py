"""``GET /usage``: what a key has used, by day."""

import re
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Final, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.access import AnyCaller
from app.api.answers import json_answer, problems
from app.api.queries import read_query
from app.api.service import Here
from app.callers.usage import usage_of
from app.errors import refusal

USUAL_DAYS: Final = 30
DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
COUNTED: Final = {"adaptations": 12.0, "support_examples": 60.0, "predictions": 340.0}
EXAMPLE: Final[dict[str, Any]] = {
    "object": "usage",
    "tenant": "acme",
    "from": "2026-11-01",
    "to": "2026-11-23",
    "data": [{"day": "2026-11-23", "key": "key_" + "0f" * 16, "counted": COUNTED}],
    "total": COUNTED,
}
PARAMETERS: Final = [
    {
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": "string", "format": "date"},
        "example": "2026-11-23",
    }
    for name, description in (
        ("from", f"The first day of UTC; unset: {USUAL_DAYS} days before the last."),
        ("to", "The last day; unset: today."),
    )
]
router = APIRouter(tags=["service"])


class DayOfKey(BaseModel):
    """What one key used on one day; null: requests without a key, while none was needed."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE["data"][0]})

    day: date
    key: str | None
    counted: dict[str, float]


class Usage(BaseModel):
    """What was used, by day and key and all together."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE}, serialize_by_alias=True)

    object: Literal["usage"] = "usage"
    tenant: str
    from_: date = Field(alias="from")
    to: date
    data: list[DayOfKey]
    total: dict[str, float]


@router.get(
    "/usage",
    response_model=Usage,
    responses=problems("validation"),
    openapi_extra={"parameters": PARAMETERS},
)
async def read_usage(request: Request, caller: AnyCaller, here: Here) -> Response:
    """What this key has used, by day of UTC: adaptations that ended and their support examples,
    inner steps and milliseconds, predictions. For an administrator what its whole tenant has. A few
    seconds may be missing.
    """
    query = read_query(request, allowed=("from", "to"))
    last = _day(query["to"][0], "/to") if "to" in query else datetime.now(UTC).date()
    usual = last - timedelta(days=USUAL_DAYS)
    first = _day(query["from"][0], "/from") if "from" in query else usual
    asked = partial(usage_of, first=first.isoformat(), last=last.isoformat())
    rows = await run_sync(asked, here.backends, caller)
    by_day: dict[tuple[str, str | None], dict[str, float]] = defaultdict(dict)
    total: dict[str, float] = defaultdict(float)
    for row in rows:
        by_day[row.day, row.key_id][row.counted] = row.amount
        total[row.counted] += row.amount
    data = [
        DayOfKey(day=date.fromisoformat(day), key=key, counted=counted)
        for (day, key), counted in by_day.items()
    ]
    named: dict[str, Any] = {"from": first}
    usage = Usage(tenant=caller.tenant_id, to=last, data=data, total=dict(total), **named)
    return json_answer(usage)


def _day(text: str, pointer: str) -> date:
    try:
        if not DAY.fullmatch(text):
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError:
        detail = "expected a day as 2026-01-31, got another form"
        raise refusal("validation", pointer, detail) from None
