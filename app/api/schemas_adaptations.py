"""What the routes of adaptations take and give beside the adaptation itself."""

from pydantic import ConfigDict, Field

from app.api import examples
from app.api.fields import Metadata, Name, Seconds
from app.api.forms import Request
from app.api.schemas import Adaptation, Page


class AdaptationChange(Request):
    """What is to change; a field that is left out stays, null takes its value away."""

    model_config = ConfigDict(json_schema_extra={"example": examples.CHANGE})

    name: Name | None = None
    metadata: Metadata | None = Field(None, description="All of it: takes the place of the old.")
    ttl_seconds: Seconds | None = Field(
        None, description="From now on where the adaptation has ended, else from its end on."
    )


class AdaptationPage(Page[Adaptation]):
    """Adaptations, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": examples.ADAPTATIONS})
