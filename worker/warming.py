"""Before a worker says that it is ready, it has loaded its checkpoints and taken a step with
each.
"""

import logging

import numpy as np

from app.db.checkpoints import list_versions
from app.db.engine import reading
from app.db.tenants import SHARED
from app.store import BlobDamaged, BlobMissing
from models.checkpoint import Checkpoint, InvalidCheckpoint
from worker.desk import HOT_CHECKPOINTS, Desk, hot_checkpoint
from worker.engine import Work, adapt_rows

log = logging.getLogger(__name__)


def warm_up(desk: Desk) -> None:
    """Loads the shipped checkpoints and takes a step with each, so that no request is the first."""
    with reading(desk.backends.engine) as connection:
        rows = list_versions(connection, SHARED)
    newest = {row.ref.name: row.ref for row in reversed(rows)}
    for ref in list(newest.values())[:HOT_CHECKPOINTS]:
        try:
            _one_step(desk, hot_checkpoint(desk, ref))
        except (BlobMissing, BlobDamaged, InvalidCheckpoint) as error:
            log.warning("checkpoint not warmed name=%s: %s", ref.name, type(error).__name__)


def _one_step(desk: Desk, checkpoint: Checkpoint) -> None:
    x = np.zeros((2, *checkpoint.input["shape"]), np.float32)
    if checkpoint.learner.task == "regression":
        outputs = checkpoint.learner.head.outputs
        work = Work(x=x, y=np.zeros((2, outputs), np.float32), step_size=0.0)
    else:
        outputs, work = 2, Work(x=x, y=np.arange(2), step_size=0.0)
    adapt_rows(checkpoint, [work], outputs=outputs, steps=1, device=desk.device)
