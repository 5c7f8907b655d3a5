"""From the parsed body of ``POST /adapt``, or of a line of a batch, to the order that it is."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from app.adaptations.order import AdaptOrder
from app.api.queries import read_adaptation_id
from app.api.schemas import AdaptRequest, QuerySet, SupportSet
from app.api.schemas_policies import Rollout
from app.api.validating import validate
from app.inputs.images import UploadedPicture
from app.inputs.rollouts import Episode, Rollouts, UploadedRollouts
from app.inputs.support_sets import Given
from app.values.caller import Caller


def read_order(content: Any, *, caller: Caller, at_once: int | None, key: str | None) -> AdaptOrder:
    """The order of a caller, under an idempotency key if there is one.

    Raises ServiceError validation with a pointer to each wrong place.
    """
    asked = validate(AdaptRequest, content)
    return AdaptOrder(
        tenant_id=caller.tenant_id,
        key_id=caller.key_id,
        at_once=at_once,
        checkpoint=asked.checkpoint,
        extends=None if asked.extends is None else read_adaptation_id(asked.extends),
        continues=None if asked.continues is None else read_adaptation_id(asked.continues),
        support=None if asked.support is None else _given(asked.support, "/support"),
        rollouts=_rollouts(asked.rollouts),
        query=None if asked.query is None else _given(asked.query, "/query"),
        adapts=asked.adapts,
        steps=asked.steps,
        step_size=asked.step_size,
        assess=asked.assess,
        name=asked.name,
        metadata=asked.metadata,
        ttl_seconds=asked.ttl_seconds,
        webhook=asked.webhook,
        idempotency_key=key,
        fingerprint=_fingerprint(content) if key is not None else "",
    )


def _given(examples: SupportSet | QuerySet, pointer: str) -> Given:
    return Given(
        inputs=examples.inputs,
        targets=examples.targets,
        inputs_at=f"{pointer}/inputs",
        targets_at=f"{pointer}/targets",
    )


def _rollouts(given: Sequence[Rollout] | UploadedRollouts | None) -> Rollouts | None:
    if given is None or isinstance(given, UploadedRollouts):
        return given
    return [
        Episode(
            observations=one.observations,
            actions=one.actions,
            rewards=one.rewards,
            terminated=one.terminated,
            truncated=one.truncated,
            log_probs=one.log_probs,
            pointer=f"/rollouts/{index}",
        )
        for index, one in enumerate(given)
    ]


def _fingerprint(content: Any) -> str:
    """Equal for equal content, whatever the order of keys, the whitespace or the form's
    boundaries.
    """

    def of_upload(upload: UploadedPicture | UploadedRollouts) -> str:
        return hashlib.sha256(upload.data).hexdigest()

    text = json.dumps(content, sort_keys=True, default=of_upload)
    return hashlib.sha256(text.encode()).hexdigest()
