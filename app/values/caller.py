"""Who asks: the tenant, the key, and what that key may do."""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a key may be allowed to do."""

    ADAPT = "adapt"
    PREDICT = "predict"
    CHECKPOINTS = "checkpoints"
    TRAIN = "train"
    ADMIN = "admin"


EVERYTHING = frozenset(Scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """key_id None: nobody needs a key yet, and it is somebody on this machine."""

    tenant_id: str
    key_id: str | None
    scopes: frozenset[Scope] = EVERYTHING
