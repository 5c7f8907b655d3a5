"""An order to adapt, as it reaches the service."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.inputs.rollouts import Rollouts
from app.inputs.support_sets import Given


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptOrder:
    """A request as the API hands it over: forms and types are checked, meanings are not.

    support, or rollouts of a policy; extends and continues: adaptations to go on from. key_id: of
    whom asks; at_once: how many its tenant may have queued and running.
    fingerprint: equal for requests of equal content; idempotency_key None: every order is a new
    one.
    """

    tenant_id: str
    checkpoint: str | None
    extends: str | None
    support: Given | None = None
    rollouts: Rollouts | None = None
    continues: str | None = None
    key_id: str | None = None
    at_once: int | None = None
    query: Given | None = None
    adapts: str | None = None
    steps: int | None = None
    step_size: float | None = None
    assess: bool = False
    name: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    ttl_seconds: int | None = None
    webhook: str | None = None
    idempotency_key: str | None = None
    fingerprint: str = ""
