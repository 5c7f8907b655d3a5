"""What the REST surface takes and gives, field by field, each with an example that works.

Only forms and fixed ranges are said here; arrays are read in ``app/inputs``, and limits that are
settings are the routes'. Nothing behind the routes sees these classes.
"""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from app.api import examples
from app.api.fields import (
    CheckpointText,
    Metadata,
    Name,
    Seconds,
    Seed,
    StepSize,
    Webhook,
    exactly_one,
    is_none,
)
from app.api.forms import Request, example_of
from app.api.schemas_parts import Failure, MadeBy, Timing, Warning
from app.api.schemas_policies import ActionPrediction, Rollouts

Item = TypeVar("Item", bound=BaseModel)


class SupportSet(Request):
    """The few labelled examples to adapt on."""

    model_config = example_of(examples.SUPPORT)

    inputs: list[Any] = Field(
        description="Examples: number arrays, or PNG, JPEG or WebP data URLs."
    )
    targets: list[Any] = Field(description="One for each: a class name, or numbers.")


class QuerySet(Request):
    """Examples to predict in the same call, and to score where their targets are given."""

    model_config = example_of(examples.QUERY)

    inputs: list[Any] = Field(min_length=1, description="Examples, as in a support set.")
    targets: list[Any] | None = Field(None, description="What they are, for the score.")


class AdaptRequest(Request):
    """A support set, or a policy's rollouts, and the checkpoint or the earlier adaptation to start
    from.
    """

    model_config = example_of(examples.ADAPT)

    checkpoint: CheckpointText | None = None
    extends: str | None = Field(None, description="An adaptation to do again with more examples.")
    continues: str | None = Field(
        None, description="An adaptation of a policy, whose rollouts these are: goes on from it."
    )
    rollouts: Rollouts | None = Field(None, description="Of a policy, in place of a support set.")
    support: SupportSet | None = Field(None, validate_default=True)
    query: QuerySet | None = None
    adapts: Literal["head", "kernel", "bayesian", "all", "auto"] | None = Field(
        None, description="What adapts, or in which closed form; unset: the recipe's."
    )
    steps: int | None = Field(None, ge=0, description="Inner steps; 0: none, as it starts.")
    step_size: StepSize | None = Field(None, description="For the mean loss; unset: the recipe's.")
    name: Name | None = None
    metadata: Metadata = Field(default_factory=dict, description="Up to 16 strings of your own.")
    ttl_seconds: Seconds | None = Field(None, description="How long the result is kept.")
    webhook: Webhook | None = Field(None, description="An https URL that is told of the end.")
    assess: bool = Field(
        False,
        description="Whether to score by leaving out each example whose class has more than one.",
    )

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        exactly_one(checkpoint=self.checkpoint, extends=self.extends, continues=self.continues)
        return self

    @field_validator("support")
    @classmethod
    def _is_one_of_two(cls, given: SupportSet | None, info: ValidationInfo) -> SupportSet | None:
        if "rollouts" in info.data:
            exactly_one(support=given, rollouts=info.data["rollouts"])
        return given


class PredictRequest(Request):
    """Inputs, and whose parameters predict them."""

    model_config = example_of(examples.PREDICT)

    adaptation: str | None = Field(None, description="The adaptation that predicts.")
    checkpoint: CheckpointText | None = None
    inputs: list[Any] = Field(min_length=1, description="Examples, as in a support set.")
    targets: list[Any] | None = Field(None, description="What they are, for the score.")
    top_k: int | None = Field(None, ge=1, description="How many classes to list, likeliest first.")
    reject: bool = Field(False, description="Give no label to what is like none of the support.")
    deterministic: bool | None = Field(
        None, description="Of a policy: its mean; unset: actions are sampled."
    )
    seeds: list[Seed] | None = Field(
        None, description="Of a policy: one for each input; unset: drawn, and told."
    )

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        exactly_one(adaptation=self.adaptation, checkpoint=self.checkpoint)
        return self


class CheckpointRef(BaseModel):
    """One version of a checkpoint."""

    model_config = example_of(examples.CHECKPOINT_REF)

    name: str
    version: int
    digest: str


class ClassPrediction(BaseModel):
    """What a classifier says of one input."""

    model_config = example_of(examples.CLASS_PREDICTION)

    label: str | None = Field(description="The likeliest class; null: rejected, as was asked.")
    probability: float = Field(description="Of the likeliest class.")
    probabilities: dict[str, float]
    novelty: float | None = Field(
        None,
        description="The share of known inputs that are less unlike the support set; above 0.95 it "
        "may be none of the classes. Null: nothing tells.",
    )


class ValuePrediction(BaseModel):
    """What a regression says of one input."""

    model_config = example_of(examples.VALUE_PREDICTION)

    value: list[Any]
    standard_deviation: list[float] | None = Field(
        None,
        exclude_if=is_none,
        description="Of a value that is measured, its noise included; of a Bayesian head.",
    )


# A kind of task may have a form of its own (``app/kinds.py``).
Prediction = Annotated[
    ClassPrediction | ValuePrediction | ActionPrediction | dict[str, Any],
    Field(union_mode="left_to_right"),
]


class Metrics(BaseModel):
    """How good it is; a score that was not asked for is absent."""

    model_config = example_of(examples.METRICS) | ConfigDict(
        extra="allow"
    )  # a newer worker's scores

    support_loss: list[float] | None = Field(
        None,
        exclude_if=is_none,
        description="Before the first inner step and after each; a step that raises it is refused.",
    )
    query_accuracy: float | None = Field(None, exclude_if=is_none)
    query_accuracy_before: float | None = Field(None, exclude_if=is_none)
    query_mse: float | None = Field(None, exclude_if=is_none)
    query_mse_before: float | None = Field(None, exclude_if=is_none)
    leave_one_out_accuracy: float | None = Field(None, exclude_if=is_none)
    leave_one_out_mse: float | None = Field(None, exclude_if=is_none)
    step_size_taken: float | None = Field(
        None, exclude_if=is_none, description="Of the last step, where it was kept short."
    )
    adapts: str | None = Field(
        None, exclude_if=is_none, description="What `auto` chose; `unadapted`: nothing was better."
    )
    assessed: dict[str, float | None] | None = Field(
        None, exclude_if=is_none, description="Leave-one-out scores, simpler methods among them."
    )
    best: str | None = Field(None, exclude_if=is_none, description="The best of `assessed`.")


class Adaptation(BaseModel):
    """One support set's journey, as it stands."""

    model_config = example_of(examples.ADAPTATION)

    id: str
    object: Literal["adaptation"] = "adaptation"
    status: Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]
    checkpoint: CheckpointRef
    task: str
    classes: list[str] | None
    adapts: str
    steps: int
    step_size: float | None
    support_examples: int
    extends: str | None
    continues: str | None = Field(None, exclude_if=is_none)
    round: int | None = Field(
        None, exclude_if=is_none, description="Of a policy: how many steps it is away from θ."
    )
    episodes: int | None = Field(None, exclude_if=is_none)
    env_steps: int | None = Field(None, exclude_if=is_none)
    metrics: Metrics | None
    predictions: list[Prediction] | None
    warnings: list[Warning]
    error: Failure | None
    attempts: int
    name: str | None
    metadata: dict[str, str]
    webhook: str | None = Field(None, exclude_if=is_none)
    timing: Timing | None
    made_by: MadeBy | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None


class PredictResponse(BaseModel):
    """One prediction for each input, in order, and whose parameters predicted."""

    model_config = example_of(examples.PREDICTED)

    adaptation: str | None = Field(None, exclude_if=is_none)
    checkpoint: CheckpointRef | None = Field(None, exclude_if=is_none)
    predictions: list[Prediction]
    metrics: Metrics | None = Field(None, exclude_if=is_none)
    warnings: list[Warning] | None = Field(None, exclude_if=is_none)


class CheckpointResource(BaseModel):
    """What a version of a checkpoint is, takes, was trained on and reached."""

    model_config = example_of(examples.CHECKPOINT)

    object: Literal["checkpoint"] = "checkpoint"
    name: str
    version: int
    digest: str
    task: str
    input: dict[str, Any]
    max_way: int | None = Field(description="The most classes it can carry; null for regression.")
    architecture: dict[str, Any]
    recipe: dict[str, Any] = Field(description="The inner loop's defaults.")
    parameters: int = Field(description="How many numbers θ has.")
    bytes: int
    evaluation: list[dict[str, Any]]
    provenance: dict[str, Any]
    policy: dict[str, Any] | None = Field(
        None,
        exclude_if=is_none,
        description="Of a policy: its spaces, its rounds, and the environment that it acts in.",
    )
    aliases: list[str] = Field(description="The caller's own names for this version.")
    created_at: datetime


class FieldProblem(BaseModel):
    """One wrong place: a JSON pointer (RFC 6901), and what was expected and got there."""

    model_config = example_of(examples.FIELD_ERROR)

    pointer: str
    detail: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    model_config = example_of(examples.PROBLEM)

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldProblem] = Field(default=[], max_length=20)


class Page(BaseModel, Generic[Item]):
    """A part of a list, newest first, and the cursor of the next part."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool
    next: str | None


class CheckpointPage(Page[CheckpointResource]):
    """Checkpoints by name, newest version first."""

    model_config = example_of(examples.CHECKPOINTS)
