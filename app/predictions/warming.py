"""Before the API says that it is ready: torch is loaded, and each network in use has predicted.

Torch is imported late: only a process that predicts loads it.
"""

import logging
from collections.abc import Iterator

from app.backends import Backends, read_blob
from app.checkpoints.in_use import checkpoints_in_use
from app.checkpoints.warming import WARM_WITHIN_S, warm_within
from app.errors import ServiceError
from app.predictions.batching import use_threads
from app.store import BlobDamaged, BlobMissing
from app.values.checkpoint import CheckpointRef

MOST_CHECKPOINTS = 16

log = logging.getLogger(__name__)


def warm_up(backends: Backends, threads: int, *, within_s: float = WARM_WITHIN_S) -> None:
    """Loads torch, and predicts once with each network, with so many threads; for so many seconds
    at most.
    """
    warm_within(within_s, _steps(backends, threads))


def _steps(backends: Backends, threads: int) -> Iterator[None]:
    use_threads(threads)
    try:
        for ref in checkpoints_in_use(backends)[:MOST_CHECKPOINTS]:
            _predict_once(backends, ref)
            yield
    except ServiceError as error:  # it answers so to everybody then
        log.warning("networks not warmed", extra={"error": error.detail})
    backends.queue.try_out()


def _predict_once(backends: Backends, ref: CheckpointRef) -> None:
    import numpy as np

    from models.files.checkpoint import InvalidCheckpoint, load_checkpoint
    from models.served import stand_in

    try:
        checkpoint = load_checkpoint(read_blob(backends, ref.tenant_id, ref.digest))
    except (BlobMissing, BlobDamaged, InvalidCheckpoint) as error:
        log.warning(
            "checkpoint not warmed", extra={"checkpoint": ref.name, "error": type(error).__name__}
        )
        return
    model = stand_in(checkpoint, outputs=checkpoint.max_way or checkpoint.learner.head.outputs)
    model.predict(np.zeros((1, *checkpoint.input_shape), np.float32))
