"""Before a worker says that it is ready, it has loaded the checkpoints in use and adapted each to
support sets of the shapes that they get.
"""

import logging

import numpy as np

from app.checkpoints.in_use import checkpoints_in_use
from app.db.connections import reading
from app.db.lookups import recent_kinds
from app.kinds import find_kind
from app.store import BlobDamaged, BlobMissing, StoreUnavailable
from app.values.arrays import INPUT, TARGET
from app.values.checkpoint import CheckpointRef
from models.files.checkpoint import Checkpoint, InvalidCheckpoint
from worker.bench import HOT_CHECKPOINTS, Bench, hot_checkpoint
from worker.stacking import Work, adapt_rows

MOST_SHAPES = 16
MOST_EXAMPLES = 100  # more take longer than their preparing, which no request would feel

log = logging.getLogger(__name__)


def warm_up(bench: Bench) -> None:
    """Takes a step with the checkpoints of recent adaptations, then with the shipped ones, so that
    no request is the first.
    """
    for ref in checkpoints_in_use(bench.backends)[:HOT_CHECKPOINTS]:
        checkpoint = _loaded(bench, ref)
        if checkpoint is not None:
            _one_step(bench, checkpoint, *_usual_shape(checkpoint))
    with reading(bench.backends.engine) as connection:
        kinds = recent_kinds(connection)
    for kind in kinds[:MOST_SHAPES]:
        checkpoint = _loaded(bench, kind.checkpoint)
        if checkpoint is not None and kind.support_examples <= MOST_EXAMPLES:
            _one_step(bench, checkpoint, kind.support_examples, kind.outputs)
    bench.backends.queue.try_out()


def _loaded(bench: Bench, ref: CheckpointRef) -> Checkpoint | None:
    try:
        return hot_checkpoint(bench, ref)
    except (BlobMissing, BlobDamaged, InvalidCheckpoint, StoreUnavailable) as error:
        log.warning("checkpoint not warmed name=%s: %s", ref.name, type(error).__name__)
        return None


def _usual_shape(checkpoint: Checkpoint) -> tuple[int, int]:
    """Support examples and outputs where nothing more is known."""
    kind = find_kind(checkpoint.learner.task)
    most = min(checkpoint.max_way or 5, MOST_EXAMPLES)
    return kind.usual_size(most, checkpoint.learner.head.outputs)


def _one_step(bench: Bench, checkpoint: Checkpoint, examples: int, outputs: int) -> None:
    kind = find_kind(checkpoint.learner.task)
    x = np.zeros((examples, *checkpoint.input_shape), np.float32)
    support = {INPUT: x, TARGET: kind.blank_targets(examples, outputs)}
    work = Work(support=support, step_size=0.0)
    adapt_rows(checkpoint, [work], outputs=outputs, steps=1, device=bench.device)
