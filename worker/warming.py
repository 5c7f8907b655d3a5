"""Before a worker says that it is ready, it has loaded the checkpoints in use and adapted each to
support sets of the shapes that they get.
"""

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace

import torch
from cachetools import LRUCache

from app.checkpoints.in_use import checkpoints_in_use
from app.checkpoints.warming import WARM_WITHIN_S, warm_within
from app.db.connections import reading
from app.db.lookups import recent_kinds
from app.kinds import UnknownKind, find_kind
from app.store import BlobDamaged, BlobMissing, StoreUnavailable
from app.values.adaptation import example_weight
from app.values.checkpoint import CheckpointRef
from models.files.checkpoint import Checkpoint, InvalidCheckpoint
from worker.allocator import M_ARENA_MAX, tell_allocator
from worker.bench import HOT_CHECKPOINTS, Bench, hot_checkpoint
from worker.stacking import adapt_rows
from worker.work import Work

MOST_SHAPES = 16
MOST_WEIGHT = 500  # of a step, in 28 x 28 pictures: 0.1 to 0.3 s, far more than its preparing

log = logging.getLogger(__name__)


def warm_up(bench: Bench, *, within_s: float = WARM_WITHIN_S) -> None:
    """Takes a step with the checkpoints of recent adaptations, then with the shipped ones, so that
    no request is the first; for so many seconds at most.

    A step that lasts longer goes on beside the bench's work, so it has checkpoints of its own: two
    threads must not use one network at once.
    """
    # So that work takes the memory that the other thread has freed: 34 MiB less stay resident, and
    # the first adaptation of a hundred drawings takes 35 ms in place of 69.
    tell_allocator(M_ARENA_MAX, 1)
    apart = replace(bench, hot=LRUCache(HOT_CHECKPOINTS), lock=threading.Lock())
    if warm_within(within_s, _steps(apart, torch.get_num_threads())):
        bench.hot.update(apart.hot)


def _steps(bench: Bench, threads: int) -> Iterator[None]:
    torch.set_num_threads(threads)  # each thread has to say it for itself
    for ref in checkpoints_in_use(bench.backends)[:HOT_CHECKPOINTS]:
        checkpoint = _loaded(bench, ref)
        yield
        if checkpoint is not None:
            _one_step(bench, checkpoint, *_usual_shape(checkpoint))
            yield
    with reading(bench.backends.engine) as connection:
        kinds = recent_kinds(connection)
    for kind in kinds[:MOST_SHAPES]:
        checkpoint = _loaded(bench, kind.checkpoint)
        yield
        if checkpoint is not None:
            _one_step(bench, checkpoint, kind.support_examples, kind.outputs)
            yield
    bench.backends.queue.try_out()


def _loaded(bench: Bench, ref: CheckpointRef) -> Checkpoint | None:
    try:
        checkpoint = hot_checkpoint(bench, ref)
        find_kind(checkpoint.learner.task)
    except (BlobMissing, BlobDamaged, InvalidCheckpoint, StoreUnavailable, UnknownKind) as error:
        log.warning(
            "checkpoint not warmed", extra={"checkpoint": ref.name, "error": type(error).__name__}
        )
        return None
    return checkpoint


def _usual_shape(checkpoint: Checkpoint) -> tuple[int, int]:
    """Support examples and outputs where nothing more is known."""
    kind, weight = find_kind(checkpoint.learner.task), example_weight(checkpoint.input_shape)
    most = min(checkpoint.max_way or 5, max(1, MOST_WEIGHT // weight))
    return kind.usual_size(most, checkpoint.learner.head.outputs)


def _one_step(bench: Bench, checkpoint: Checkpoint, examples: int, outputs: int) -> None:
    if examples * example_weight(checkpoint.input_shape) > MOST_WEIGHT:
        return
    if 0 in checkpoint.input_shape:  # nothing to be prepared before a width is known
        return
    kind = find_kind(checkpoint.learner.task)
    support = kind.blank_support(examples, checkpoint.input_shape, outputs)
    work = Work(support=support, step_size=0.0)
    adapt_rows(checkpoint, [work], outputs=outputs, steps=1, device=bench.device)
