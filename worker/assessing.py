"""``assess``: is this adaptation any good? Each support example left out once and predicted by the
rest.
"""

from typing import Any

import numpy as np
import torch

from models.files.checkpoint import Checkpoint
from models.inner_loop import Adapted
from worker.stacking import Failure, Work, adapt_rows, query_outputs


def leave_one_out(
    checkpoint: Checkpoint, work: Work, *, outputs: int, steps: int
) -> dict[str, float | None]:
    """leave_one_out_accuracy and nearest_prototype_accuracy (no step taken), or leave_one_out_mse.

    None where no example can be left out (its class, or the set, would be empty without it), or
    where an adaptation without it diverges.
    """
    left_out = _can_be_left_out(checkpoint, work, outputs)
    if checkpoint.learner.task == "regression":
        return {"leave_one_out_mse": _score(checkpoint, work, left_out, outputs, steps)}
    return {
        "leave_one_out_accuracy": _score(checkpoint, work, left_out, outputs, steps),
        "nearest_prototype_accuracy": _score(checkpoint, work, left_out, outputs, 0),
    }


def _can_be_left_out(checkpoint: Checkpoint, work: Work, outputs: int) -> list[int]:
    if checkpoint.learner.task == "regression":
        return list(range(len(work.x))) if len(work.x) > 1 else []
    counts = np.bincount(work.y, minlength=outputs)
    return [index for index, label in enumerate(work.y) if counts[label] > 1]


def _score(
    checkpoint: Checkpoint, work: Work, left_out: list[int], outputs: int, steps: int
) -> float | None:
    if not left_out:
        return None
    rest = [_without(work, index) for index in left_out]
    device = next(iter(checkpoint.meta.theta.values())).device
    adapted = adapt_rows(checkpoint, rest, outputs=outputs, steps=steps, device=device)
    scores = [_hit(checkpoint, one, work, i) for one, i in zip(adapted, left_out, strict=True)]
    known = [one for one in scores if one is not None]
    return float(np.mean(known)) if len(known) == len(scores) else None


def _without(work: Work, index: int) -> Work:
    keep = np.arange(len(work.x)) != index
    return Work(x=work.x[keep], y=work.y[keep], step_size=work.step_size)


def _hit(
    checkpoint: Checkpoint, adapted: Adapted | Failure, work: Work, index: int
) -> float | None:
    if isinstance(adapted, Failure):
        return None
    outputs = query_outputs(checkpoint, adapted, work.x[index : index + 1])[0]
    return score(checkpoint, outputs[None], work.y[index : index + 1])


def score(checkpoint: Checkpoint, outputs: torch.Tensor, y: Any) -> float | None:
    """Share of right classes, or mean squared error; None where that is beyond all numbers."""
    if checkpoint.learner.task == "classification":
        return float((outputs.argmax(dim=1).numpy() == y).mean())
    if not bool(outputs.isfinite().all()):
        return None
    return float(np.square(outputs.double().numpy() - y).mean())  # beyond float32's range
