"""What the service says of itself."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api import examples


class Limits(BaseModel):
    """What this service accepts."""

    model_config = ConfigDict(json_schema_extra={"example": examples.LIMITS})

    object: Literal["limits"] = "limits"
    body_bytes: int
    body_seconds: float
    checkpoint_bytes: int
    batch_adaptations: int
    support_examples: int
    episodes: int = Field(description="Most of one round of a policy.")
    env_steps: int = Field(description="Most of all episodes of one round.")
    query_examples: int
    predict_inputs: int
    steps: int
    example_steps: int = Field(
        description="Most examples × passes (of `all` steps + 1); with assess × examples again."
    )
    wait_seconds: float
    ttl_seconds: int
    label_characters: int
    image_side_px: int
    image_area_px: int
    image_types: list[str]
    parameter_formats: list[str]
    ways: dict[str, int] = Field(description="The most classes by checkpoint, of 1000 names.")
    devices: list[str]
