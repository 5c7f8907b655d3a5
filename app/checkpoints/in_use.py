"""Which checkpoints are likely to be asked for next: what a process loads before it is ready."""

from app.backends import Backends
from app.db.checkpoints import list_newest
from app.db.connections import reading
from app.db.lookups import recent_kinds
from app.values.checkpoint import CheckpointRef
from app.values.tenants import SHARED


def checkpoints_in_use(backends: Backends) -> list[CheckpointRef]:
    """Those of recent adaptations, newest first, then the shipped ones, the first names last."""
    with reading(backends.engine) as connection:
        recent = [kind.checkpoint for kind in recent_kinds(connection)]
        shipped = list_newest(connection, SHARED)
    return list(dict.fromkeys([*recent, *reversed(shipped)]))
