"""The examples of events, deliveries and webhook secrets in the OpenAPI document."""

from typing import Any, Final

Example = dict[str, Any]

EVENT: Final[Example] = {
    "id": 3,
    "object": "event",
    "type": "adaptation.succeeded",
    "adaptation": "ad_" + "0f" * 16,
    "detail": {},
    "at": "2026-11-23T10:00:00.011Z",
}
EVENTS: Final[Example] = {"object": "list", "data": [EVENT], "has_more": False, "next": None}
DELIVERY: Final[Example] = {
    "id": "wh_" + "0e" * 16,
    "object": "delivery",
    "event": 3,
    "type": "adaptation.succeeded",
    "url": "https://hooks.example/fewstep",
    "status": "queued",
    "attempts": 1,
    "answered": 503,
    "error": None,
    "created_at": "2026-11-23T10:00:00.011Z",
    "next_attempt_at": "2026-11-23T10:00:05.512Z",
    "finished_at": None,
}
DELIVERIES: Final[Example] = {"object": "list", "data": [DELIVERY], "has_more": False, "next": None}
SECRET: Final[Example] = {
    "object": "webhook_secret",
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "since": "2026-11-23T10:00:00Z",
    "before": None,
    "before_until": None,
}
