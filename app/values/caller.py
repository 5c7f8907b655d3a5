"""Who asks: the tenant, the key, and what that key may do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.values.tenants import DEFAULT


class Scope(StrEnum):
    """What a key may be allowed to do."""

    ADAPT = "adapt"
    PREDICT = "predict"
    CHECKPOINTS = "checkpoints"
    TRAIN = "train"
    ADMIN = "admin"


EVERYTHING = frozenset(Scope)
USUAL = (Scope.ADAPT, Scope.PREDICT)  # what a key is for unless told otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """key_id None: nobody needs a key yet, and it is somebody on this machine. limits: what the
    tenant has of its own in place of everybody's (``Quota``).
    """

    tenant_id: str
    key_id: str | None
    scopes: frozenset[Scope] = EVERYTHING
    limits: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def is_operator(self) -> bool:
        """Whether it may look after every tenant: an administrator of the default one."""
        return self.tenant_id == DEFAULT and Scope.ADMIN in self.scopes
