"""From events, deliveries and secrets to the API's resources."""

from datetime import UTC, datetime
from typing import Final

from app.api import schemas_events as schemas
from app.values.delivery import Delivery
from app.values.event import Event
from app.values.lifecycle import Status
from app.values.webhook_secret import BOTH_S, WebhookSecret

# Of a detail; the rest is ours: worker and epoch say who else works here, and where.
SHOWN: Final = ("code", "reason")


def show_event(adaptation_id: str, event: Event) -> schemas.Event:
    """The event as its owner sees it."""
    return schemas.Event(
        id=event.number,
        type=f"adaptation.{event.kind}",
        adaptation=adaptation_id,
        detail={name: event.detail[name] for name in SHOWN if name in event.detail},
        at=_time(event.at),
    )


def show_delivery(delivery: Delivery) -> schemas.Delivery:
    """The delivery as its owner sees it."""
    waits = delivery.status is Status.QUEUED
    ended = delivery.finished_at
    return schemas.Delivery.model_validate(
        {
            "id": delivery.id,
            "event": delivery.event_number,
            "type": delivery.payload["type"],
            "url": delivery.url,
            "status": delivery.status.value,
            "attempts": delivery.attempts,
            "answered": delivery.answered,
            "error": delivery.error,
            "created_at": _time(delivery.created_at),
            "next_attempt_at": _time(delivery.queued_at) if waits else None,
            "finished_at": None if ended is None else _time(ended),
        }
    )


def show_secret(secret: WebhookSecret) -> schemas.WebhookSecret:
    """The secret, for who may know it."""
    both = secret.before is not None
    return schemas.WebhookSecret(
        secret=secret.current,
        since=_time(secret.since),
        before=secret.before,
        before_until=_time(secret.since + BOTH_S) if both else None,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
