"""What the routes of events and webhooks give."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api import examples_events as examples
from app.api.schemas import Page


class Event(BaseModel):
    """Something that happened to an adaptation."""

    model_config = ConfigDict(json_schema_extra={"example": examples.EVENT})

    id: int = Field(description="Counts from 1 within the adaptation, without a gap.")
    object: Literal["event"] = "event"
    type: str = Field(description="`adaptation.` and the status that it came to, or what was done.")
    adaptation: str
    detail: dict[str, Any] = Field(description="`code` of a failure; `reason` to be queued again.")
    at: datetime


class EventPage(Page[Event]):
    """Events of one adaptation, oldest first."""

    model_config = ConfigDict(json_schema_extra={"example": examples.EVENTS})


class Delivery(BaseModel):
    """A message to a webhook, and how far it got."""

    model_config = ConfigDict(json_schema_extra={"example": examples.DELIVERY})

    id: str = Field(description="The `webhook-id` of every attempt.")
    object: Literal["delivery"] = "delivery"
    event: int = Field(description="The event that it tells of.")
    type: str
    url: str
    status: Literal["queued", "running", "succeeded", "failed"]
    attempts: int
    answered: int | None = Field(description="The status of the last answer.")
    error: str | None = Field(description="Why the last attempt had no answer.")
    created_at: datetime
    next_attempt_at: datetime | None
    finished_at: datetime | None


class DeliveryPage(Page[Delivery]):
    """All messages to an adaptation's webhook, in the order of their events."""

    model_config = ConfigDict(json_schema_extra={"example": examples.DELIVERIES})


class WebhookSecret(BaseModel):
    """What webhooks of this tenant are signed with; messages carry a signature by each."""

    model_config = ConfigDict(json_schema_extra={"example": examples.SECRET})

    object: Literal["webhook_secret"] = "webhook_secret"
    secret: str = Field(description="`whsec_` and base64, as Standard Webhooks libraries take it.")
    since: datetime
    before: str | None = Field(description="The one before, which signs as well.")
    before_until: datetime | None = Field(description="How long the one before signs.")
