"""What every form of the REST surface has in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict


def example_of(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": example})


class Request(BaseModel):
    """What a caller sends: exact types, no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
