"""What policies take and give over HTTP: rollouts and actions."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidatorFunctionWrapHandler, WrapValidator

from app.api import examples
from app.api.fields import is_none
from app.api.forms import Request, example_of
from app.inputs.rollouts import UploadedRollouts


class Rollout(Request):
    """An episode of the policy that is to be adapted, in its environment: T steps."""

    model_config = example_of(examples.ROLLOUT)

    observations: list[Any] = Field(description="T+1, the last one included: numbers of each.")
    actions: list[Any] = Field(
        description="T, as they were sampled, before they were clipped: `sampled_action`."
    )
    rewards: list[Any] = Field(description="T numbers.")
    terminated: bool = Field(False, description="Whether it ended in a state without a future.")
    truncated: bool = Field(False, description="Whether it was cut off, by a time limit say.")
    log_probs: list[Any] | None = Field(
        None, description="T, as a prediction told them; only checked."
    )


def _or_uploaded(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """What came as a part of a form was read by nobody yet."""
    return value if isinstance(value, UploadedRollouts) else read(value)


Rollouts = Annotated[list[Rollout], Field(fail_fast=True), WrapValidator(_or_uploaded)]


class ActionPrediction(BaseModel):
    """What a policy does on one observation."""

    model_config = example_of(examples.ACTION_PREDICTION)

    action: list[float] | int = Field(description="For the environment, within its bounds.")
    sampled_action: list[float] | int = Field(description="To send back in a rollout.")
    mean: list[float] | None = Field(None, exclude_if=is_none)
    std: list[float] | None = Field(None, exclude_if=is_none)
    probabilities: list[float] | None = Field(
        None, exclude_if=is_none, description="Of each action, where they are discrete."
    )
    log_prob: float = Field(description="Of the sampled action.")
    seed: int | None = Field(description="What it was sampled with; null: deterministic.")
