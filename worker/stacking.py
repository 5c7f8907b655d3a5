"""Many support sets in one stacked call. No database, no queue: arrays in, adapted parameters out.

A row whose numbers go wrong fails alone. Out of memory halves the batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.observing.metrics import SPLITS
from app.values.arrays import INPUT, MASK, TARGET
from models.engine.layers import episodes_at_once
from models.episodes import Examples
from models.files.checkpoint import Checkpoint
from models.inner_loop import adapt_episodes
from models.learner import Adapted, Adapts, InnerLoop, episode_of, predict
from worker.acting import adapt_policy_rows
from worker.work import Failure, Work

LINALG_ERROR: type[RuntimeError] = vars(torch.linalg)["LinAlgError"]  # exported to no checker
NO_MEMORY = Failure(code="out-of-memory", detail="the support set needs more memory")
LARGE = 1e3  # numbers beyond it are told to be scaled


def adapt_rows(
    checkpoint: Checkpoint,
    rows: Sequence[Work],
    *,
    outputs: int,
    steps: int,
    device: torch.device,
    adapts: str | None = None,
    progress: Callable[[], None] = lambda: None,
) -> list[Adapted | Failure]:
    """The adaptation of every row, in their order; rows share names and shapes of their arrays,
    outputs and steps.

    adapts: what moves, or in which closed form; None: as the checkpoint's recipe has it. progress:
    called after every inner step and every stacked call; what it raises ends the work.
    """
    if checkpoint.acting is not None:
        return adapt_policy_rows(checkpoint, rows, steps=steps, device=device, progress=progress)
    size = _at_once(checkpoint, rows, device)
    done: list[Adapted | Failure] = []
    while len(done) < len(rows):
        part = rows[len(done) : len(done) + size]
        try:
            done.extend(
                _stacked(
                    checkpoint,
                    part,
                    outputs=outputs,
                    recipe=_recipe(checkpoint, adapts, part, steps, device),
                    progress=progress,
                )
            )
        except RuntimeError as error:
            singular = isinstance(error, LINALG_ERROR)  # numbers that are none
            if not singular and not is_out_of_memory(error):
                raise
            torch.cuda.empty_cache()
            if len(part) > 1:
                SPLITS.labels("singular" if singular else "out-of-memory").inc()
            else:
                done.append(_no_features(checkpoint, part[0]) if singular else NO_MEMORY)
            size = max(1, len(part) // 2)
        progress()
    return done


def _at_once(checkpoint: Checkpoint, rows: Sequence[Work], device: torch.device) -> int:
    """A GPU takes all in one call, a CPU what its caches hold."""
    if device.type != "cpu" or not rows:
        return len(rows)
    return episodes_at_once(checkpoint.learner.network, rows[0].support[INPUT].shape)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device's memory ran out: torch has an exception for GPUs, and a text for CPUs."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def query_outputs(checkpoint: Checkpoint, adapted: Adapted, x: NDArray[np.float32]) -> Tensor:
    """(Q, …) queries -> (Q, outputs) scores or values on the CPU; behind them what the head knows
    beside.
    """
    device = adapted.losses.device
    with torch.no_grad():
        return predict(checkpoint.learner, adapted, torch.from_numpy(x).to(device)).cpu()


def before_adaptation(checkpoint: Checkpoint, work: Work, *, outputs: int) -> Adapted:
    """The same support set with no gradient step taken."""
    recipe = replace(checkpoint.recipe, steps=0)
    (adapted,) = _stacked(checkpoint, [work], outputs=outputs, recipe=recipe)
    if isinstance(adapted, Failure):
        raise FloatingPointError(adapted.detail)
    return adapted


def _stacked(
    checkpoint: Checkpoint,
    rows: Sequence[Work],
    *,
    outputs: int,
    recipe: InnerLoop,
    progress: Callable[[], None] = lambda: None,
) -> list[Adapted | Failure]:
    device = next(iter(checkpoint.meta.theta.values())).device
    with torch.no_grad():
        adapted = adapt_episodes(
            checkpoint.learner,
            checkpoint.meta.theta,
            _examples(rows, device),
            recipe,
            outputs=outputs,
            progress=progress,
        )
    finite = _are_finite(adapted).tolist()
    apart = [episode_of(adapted, index) for index in range(len(rows))]
    each = zip(rows, apart, finite, strict=True)
    return [one if good else _diverged(checkpoint, row, one) for row, one, good in each]


def _examples(rows: Sequence[Work], device: torch.device) -> Examples:
    """The support sets of the rows, one after the other along a leading axis."""
    stacked = {
        name: torch.from_numpy(np.stack([row.support[name] for row in rows])).to(device)
        for name in rows[0].support
    }
    return Examples(arrays=stacked, mask=stacked.pop(MASK, None))


def _recipe(
    checkpoint: Checkpoint,
    adapts: str | None,
    rows: Sequence[Work],
    steps: int,
    device: torch.device,
) -> InnerLoop:
    sizes = [row.step_size if row.step_size is not None else 0.0 for row in rows]
    recipe = checkpoint.recipe if adapts is None else checkpoint.recipe_of(cast(Adapts, adapts))
    return replace(recipe, steps=steps, step_size=torch.tensor(sizes, device=device))


def _are_finite(adapted: Adapted) -> Tensor:
    """(E,) whether all numbers of an episode are: a finite number times 0 is 0, any other NaN."""
    tensors = (adapted.losses, *adapted.params.values(), *adapted.statistics.values())
    own = [tensor for tensor in tensors if tensor.stride(0)]  # of a shared body θ was checked
    zeros = [tensor.reshape(len(tensor), -1).mul(0).sum(dim=1) for tensor in own]
    return torch.stack(zeros).sum(dim=0) == 0


def _diverged(checkpoint: Checkpoint, work: Work, adapted: Adapted) -> Failure:
    steps = max(int(adapted.losses.isfinite().sum()) - 1, 0)
    what = f"the loss or a parameter was no longer finite after {steps} steps"
    to_do = "; ".join(filter(None, (_to_scale(checkpoint, work), "try a smaller step_size")))
    return Failure(code="diverged", detail=f"{what}; {to_do}")


def _no_features(checkpoint: Checkpoint, work: Work) -> Failure:
    to_do = _to_scale(checkpoint, work) or "send smaller numbers"
    detail = f"the features of the support set are not finite; {to_do}"
    return Failure(code="diverged", detail=detail)


def _to_scale(checkpoint: Checkpoint, work: Work) -> str | None:
    """Which side of the support set has the larger numbers, as the network sees them; None where
    neither has large ones.
    """
    x, y = work.support[INPUT].reshape(len(work.support[INPUT]), -1), work.support.get(TARGET)
    config = checkpoint.network_config
    if config.get("scale"):
        x = (x - np.array(config["centre"])) / np.array(config["scale"])
    sizes = {"inputs": float(np.abs(x).max())}
    if y is not None and y.dtype.kind == "f":
        sizes["targets"] = float(np.abs(y).max())
    side = max(sizes, key=lambda name: sizes[name])
    return f"scale the {side}, whose numbers are very large" if sizes[side] > LARGE else None
