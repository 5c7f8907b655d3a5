"""The adaptation as everything inside the application sees it: neither the API's form nor the
table's.

It knows no HTTP, no SQL and no mathematics.
"""

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.values.checkpoint import CheckpointRef
from app.values.lifecycle import Status
from app.values.ways import AUTO, passes

OTHER_WAYS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAdaptation:
    """What is known of an adaptation when it is accepted.

    outputs: classes in use, or values per example; adapts: ``app/values/ways.py``; step_size None:
    learned ones, or none; example_weight: of one input, as the function of this name counts it;
    batch_key: equal for adaptations that fit one stacked call; *_digest: blobs of named arrays;
    preprocessing: of pictures, where it is not the checkpoint's; warnings: code, pointer and detail
    of what the caller should know; key_id: of whom asked; extends_id: whose support set is part of
    this one's; work_digest: equal in a tenant where the work is; webhook: the URL that is told;
    trace_context: W3C traceparent of the request.

    Of a policy: round, how many steps its φ will be away from θ; env_steps of its rollouts;
    continues_id: whose φ it goes on from, and start_digest: that φ's blob, None for θ.
    """

    id: str
    tenant_id: str
    task: str
    checkpoint: CheckpointRef
    classes: tuple[str, ...] | None
    outputs: int
    adapts: str
    steps: int
    step_size: float | None
    assess: bool
    support_examples: int
    example_weight: int
    support_digest: str
    query_digest: str | None
    batch_key: str
    name: str | None
    metadata: Mapping[str, str]
    ttl_seconds: int | None
    preprocessing: Mapping[str, Any] | None = None
    warnings: Sequence[Mapping[str, str]] = ()
    key_id: str | None = None
    extends_id: str | None = None
    work_digest: str | None = None
    webhook: str | None = None
    trace_context: str | None = None
    round: int | None = None
    env_steps: int | None = None
    continues_id: str | None = None
    start_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation(NewAdaptation):
    """One row: what was accepted, where it stands, and what came of it.

    made_by: the code, the libraries and the device that adapted; support_forgotten_at: when the
    support set was let go, for a tenant that does not keep it. Times: seconds since 1970.
    """

    status: Status
    epoch: int
    attempts: int
    attempts_alone: int
    phi_digest: str | None
    metrics: dict[str, Any] | None
    predictions: list[dict[str, Any]] | None
    error: dict[str, str] | None
    timing: dict[str, Any] | None
    made_by: dict[str, Any] | None
    support_forgotten_at: float | None
    created_at: float
    queued_at: float
    started_at: float | None
    finished_at: float | None
    expires_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a worker reports of a succeeded adaptation; warnings: those of its queries; made_by:
    the code, the libraries, the device and the recipe that adapted.
    """

    phi_digest: str
    metrics: dict[str, Any]
    predictions: list[dict[str, Any]] | None
    timing: dict[str, Any]
    warnings: Sequence[Mapping[str, str]] = ()
    made_by: dict[str, Any] | None = None


def example_steps(
    *, examples: int, adapts: str, steps: int, assess: bool, recipe_steps: int = 0
) -> int:
    """The work of an adaptation: examples times the passes through the network that each takes.

    An assessment adapts without each example in turn, in every way that there is, the recipe's
    gradient steps among them.
    """
    each = passes(adapts, steps, examples)
    if not assess and adapts != AUTO:
        return examples * each
    return examples * examples * (max(each, recipe_steps + 1) + OTHER_WAYS)


def example_weight(input_shape: Sequence[int]) -> int:
    """How many 28 x 28 pictures an example of this shape counts for; at least one."""
    return max(1, round(math.prod(input_shape) / (28 * 28)))


def new_id(prefix: str = "ad") -> str:
    """``ad_`` and 128 random bits in hex."""
    return f"{prefix}_{secrets.token_hex(16)}"
