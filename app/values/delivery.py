"""A message that a webhook is owed: what it says, and how far it got."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from app.values.adaptation import Adaptation
from app.values.event import Event
from app.values.lifecycle import Status

MOST_BYTES: Final = 20_000  # what Standard Webhooks asks senders to stay below
COMPACT: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """status: *queued* until its next attempt, *running* while it is sent, *succeeded* or *failed*.

    event_number: of the event that it tells of; answered: the status code of the last answer;
    error: why there was none. Times: seconds since 1970; queued_at: when it is due.
    """

    id: str
    tenant_id: str
    adaptation_id: str
    event_number: int
    url: str
    payload: Mapping[str, Any]
    status: Status
    epoch: int
    attempts: int
    answered: int | None
    error: str | None
    created_at: float
    queued_at: float
    finished_at: float | None


def message_about(adaptation: Adaptation, event: Event) -> dict[str, Any]:
    """What a webhook is told: what happened, and which adaptation it is, in at most MOST_BYTES.

    Its results are read where they are. ``metadata`` is null where it would not fit.
    """
    message = {
        "type": f"adaptation.{event.kind}",
        "timestamp": _time(event.at),
        "data": _data(adaptation, event),
    }
    if len(body_of(message)) > MOST_BYTES:
        message["data"] = _data(adaptation, event) | {"metadata": None}
    return message


def body_of(message: Mapping[str, Any]) -> bytes:
    """The message as it is sent."""
    return COMPACT.encode(message).encode()


def _data(adaptation: Adaptation, event: Event) -> dict[str, Any]:
    ref = adaptation.checkpoint
    return {
        "id": adaptation.id,
        "object": "adaptation",
        "status": event.kind,
        "checkpoint": {
            "name": ref.name,
            "version": ref.version,
            "digest": f"sha256:{ref.digest}",
        },
        "task": adaptation.task,
        "name": adaptation.name,
        "metadata": dict(adaptation.metadata),
        "error": adaptation.error,
        "created_at": _time(adaptation.created_at),
        "finished_at": _time(adaptation.finished_at),
        "expires_at": _time(adaptation.expires_at),
    }


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
