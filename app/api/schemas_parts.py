"""Parts of an adaptation as its owner sees it: its time, its faults, and what made it."""

from typing import Any

from pydantic import BaseModel, Field

from app.api import examples
from app.api.forms import example_of


class Timing(BaseModel):
    """Where the time went, in milliseconds, and how many adaptations shared the call."""

    model_config = example_of(examples.TIMING)

    queued_ms: float | None = Field(None, description="Until a worker took it.")
    load_ms: float | None = Field(None, description="Reading the batch's checkpoint and supports.")
    adapt_ms: float | None = Field(None, description="The inner loop of the whole batch.")
    store_ms: float | None = Field(None, description="Keeping the adapted parameters.")
    batch_size: int | None = None


class Failure(BaseModel):
    """Why an adaptation ended without a result."""

    model_config = example_of(examples.ERROR)

    code: str
    detail: str


class Warning(BaseModel):
    """Something that the caller should know: where it is, and what was done or is to be done."""

    model_config = example_of(examples.WARNING)

    code: str
    pointer: str
    detail: str


class MadeBy(BaseModel):
    """What adapted: the release, the libraries, the device, and the checkpoint's recipe."""

    model_config = example_of(examples.MADE_BY)

    fewstep: str
    commit: str | None = Field(description="Of the code, where it ran from a repository.")
    torch: str
    device: str
    recipe: dict[str, Any]
