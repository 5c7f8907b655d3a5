"""``assess``: is this adaptation any good? Each support example left out once and predicted by the
rest.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from app.kinds import find_kind
from app.values.arrays import INPUT, TARGET, without
from models.files.checkpoint import Checkpoint
from models.inner_loop import Adapted, features_of
from worker.stacking import Failure, Work, adapt_rows, query_outputs


def leave_one_out(
    checkpoint: Checkpoint,
    work: Work,
    *,
    outputs: int,
    steps: int,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, float | None]:
    """The scores that the kind of task assesses by, and those of simpler rivals, by their names.

    None where no example can be left out (its class, or the set, would be empty without it), or
    where an adaptation without it diverges. progress: called after every inner step; what it raises
    ends the work.
    """
    kind = find_kind(checkpoint.learner.task)
    left_out = kind.left_out(work.support)
    scores = {
        name: _score(checkpoint, work, left_out, outputs=outputs, steps=taken, progress=progress)
        for name, taken in kind.assessments(steps).items()
    }
    return scores | kind.rivals(_features(checkpoint, work), work.support)


def _features(checkpoint: Checkpoint, work: Work) -> NDArray[np.float32]:
    """(S, D) of the support set under θ."""
    x = torch.from_numpy(work.support[INPUT]).to(next(iter(checkpoint.meta.theta.values())).device)
    with torch.no_grad():
        features = features_of(checkpoint.learner, checkpoint.meta.theta, x)
    return np.asarray(features.cpu().numpy(), dtype=np.float32)


def _score(
    checkpoint: Checkpoint,
    work: Work,
    left_out: list[int],
    *,
    outputs: int,
    steps: int,
    progress: Callable[[], None],
) -> float | None:
    if not left_out:
        return None
    rest = [
        Work(support=without(work.support, index), step_size=work.step_size) for index in left_out
    ]
    device = next(iter(checkpoint.meta.theta.values())).device
    adapted = adapt_rows(
        checkpoint, rest, outputs=outputs, steps=steps, device=device, progress=progress
    )
    scores = [
        _scored(checkpoint, result, work, index)
        for result, index in zip(adapted, left_out, strict=True)
    ]
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if len(known) == len(scores) else None


def _scored(
    checkpoint: Checkpoint, adapted: Adapted | Failure, work: Work, index: int
) -> float | None:
    if isinstance(adapted, Failure):
        return None
    left = slice(index, index + 1)
    outputs = query_outputs(checkpoint, adapted, work.support[INPUT][left])
    kind = find_kind(checkpoint.learner.task)
    return kind.score(outputs.numpy(), work.support[TARGET][left])
