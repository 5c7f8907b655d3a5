"""One hint's work: claim waiting adaptations that fit one batch, adapt them together, end their
rows.

No transaction is open while the device works. Blobs before rows, rows before wake-ups.
"""

import logging
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from structlog.contextvars import bind_contextvars

from app.db.adaptations import claim, fail, give_back, next_waiting, succeed
from app.db.connections import reading, writing
from app.db.lookups import find
from app.inputs.examples import unpack_arrays
from app.logs import ids_of
from app.messages.news import tell_changed, tell_moved
from app.observing.metrics import SPLITS
from app.observing.phases import phase
from app.store import BlobDamaged, BlobMissing, StoreUnavailable
from app.values.adaptation import Adaptation, Outcome
from app.values.arrays import Arrays
from app.values.progress import Progress, Stopped
from models.files.adapted_file import load_arrays_of
from models.files.checkpoint import Checkpoint, InvalidCheckpoint
from models.learner import Adapted
from worker.bench import Bench, hot_checkpoint
from worker.counting import bill_ended
from worker.leases import keeping_leases
from worker.observing import batch_traced, count_claim, count_ended, trace_fields
from worker.outcomes import Order, Result, order_of, outcome_of
from worker.sharing import run_once_each
from worker.stacking import adapt_rows
from worker.work import Failure, Work

STORE_PAUSE_S = 2

log = logging.getLogger(__name__)


def run_hint(bench: Bench, hint: str | None) -> int:
    """Claims one batch and runs it; how many adaptations that were."""
    backends = bench.backends
    backends.queue.taken()
    with writing(backends.engine) as connection:
        held = claim(
            connection,
            worker=bench.name,
            limit=backends.settings.batch_limit,
            lease_s=backends.settings.lease_s,
            most_example_steps=backends.settings.max_example_steps,
            hint=hint,
        )
        left = next_waiting(connection)
    if left is not None:
        backends.queue.hint(left)  # another worker's, or this one's next
    if held:
        bind_contextvars(worker=bench.name, **_about(held))
        tell_moved(backends.queue.redis, [adaptation.id for adaptation in held])
        count_claim(held, backends.settings, others_wait=left is not None)
        with batch_traced(held):
            log.info("batch claimed", extra={"status": "running", "steps": held[0].steps})
            _work_on(bench, held)
    return len(held)


def _work_on(bench: Bench, held: Sequence[Adaptation]) -> None:
    started = time.perf_counter()
    try:
        with keeping_leases(bench.backends, held) as progress:
            results = run_once_each(bench, held, lambda rows: run_batch(bench, rows, progress))
    except StoreUnavailable:
        log.warning("store unavailable, given back", extra={"status": "queued"})
        with writing(bench.backends.engine) as connection:
            # the sweeper hints again when the pause is over
            give_back(connection, held, pause_s=STORE_PAUSE_S, reason="store-unavailable")
        tell_moved(bench.backends.queue.redis, [adaptation.id for adaptation in held])
        return
    except Stopped as stopped:  # the rows are cancelled or belong to others: nothing is written
        log.info("stopped", extra={"reason": stopped.reason})
        return
    # The heartbeat has ended: both lock the batch's rows.
    kept = _finish(bench, held, results)
    seconds = time.perf_counter() - started
    tell_changed(bench.backends.queue.redis, [adaptation.id for adaptation in held])
    count_ended(held, results, kept)
    _log_ended(held, results, kept, seconds=seconds)


def run_batch(bench: Bench, held: Sequence[Adaptation], progress: Progress) -> list[Result]:
    """The result of every claimed row, in their order. An error in a batch makes its rows run
    alone. Raises StoreUnavailable, and Stopped between two steps where progress was told to stop;
    a broken device ends the process, and the leases do the rest.
    """
    try:
        return _run(bench, held, progress)
    except (StoreUnavailable, Stopped):
        raise
    except torch.AcceleratorError:  # the context is lost for good: no next row could succeed
        log.exception("device failed", extra=_about(held))
        os._exit(1)
    except Exception:
        log.exception("batch failed", extra=_about(held))
        if len(held) == 1:
            return [Failure(code="internal", detail="the service made a mistake; it was logged")]
        SPLITS.labels("error").inc()
        return [run_batch(bench, [adaptation], progress)[0] for adaptation in held]


def load_work(bench: Bench, adaptation: Adaptation) -> Work | Failure:
    """A row's support set out of the store."""
    try:
        arrays = unpack_arrays(
            bench.backends.store.get(adaptation.tenant_id, adaptation.support_digest)
        )
    except (BlobMissing, BlobDamaged):
        return Failure(code="damaged", detail="the stored support set failed its check")
    if adaptation.start_digest is None:
        return Work(support=arrays, step_size=adaptation.step_size)
    try:
        start = load_start(bench, adaptation)
    except (BlobMissing, BlobDamaged):
        detail = "the policy that it goes on from failed its check, and cannot be derived again"
        return Failure(code="damaged", detail=detail)
    return Work(support=arrays, step_size=adaptation.step_size, start=start)


def load_start(bench: Bench, adaptation: Adaptation) -> Arrays:
    """The parameters that a policy's row goes on from; where their blob is damaged, derived again
    from the chain of rows that they came from. Raises BlobMissing, BlobDamaged.
    """
    try:
        data = bench.backends.store.get(adaptation.tenant_id, str(adaptation.start_digest))
        return load_arrays_of(data)[0]
    except (BlobMissing, BlobDamaged):
        before = _row_before(bench, adaptation)
        if before is None or before.phi_digest is None:
            raise
        work = load_work(bench, before)
        if isinstance(work, Failure):
            raise
    (adapted,) = adapt_rows(
        hot_checkpoint(bench, before.checkpoint),
        [work],
        outputs=before.outputs,
        steps=before.steps,
        device=bench.device,
    )
    if isinstance(adapted, Failure):
        raise BlobDamaged(str(adaptation.start_digest))
    return {name: value.cpu().numpy() for name, value in adapted.params.items()}


def _row_before(bench: Bench, adaptation: Adaptation) -> Adaptation | None:
    with reading(bench.backends.engine) as connection:
        return find(connection, adaptation.tenant_id, str(adaptation.continues_id))


def _run(bench: Bench, held: Sequence[Adaptation], progress: Progress) -> list[Result]:
    first, claimed = held[0], time.perf_counter()
    try:
        checkpoint, loaded = _loaded(bench, held)
    except (BlobMissing, BlobDamaged, InvalidCheckpoint):
        lost = Failure(code="damaged", detail="the stored checkpoint failed its check")
        return [lost for _ in held]
    ready = [work for work in loaded if isinstance(work, Work)]
    progress.moved()
    started = time.perf_counter()
    load_ms = (started - claimed) * 1000
    pairs = zip(held, loaded, strict=True)
    orders = [
        order_of(checkpoint, adaptation, work, progress.moved)
        for adaptation, work in pairs
        if isinstance(work, Work)
    ]
    done = _adapted(bench, checkpoint, ready, orders, first.outputs, progress)
    adapted = iter(zip(orders, done, strict=True))
    adapt_ms = (time.perf_counter() - started) * 1000
    results: list[Result] = []
    # A row alone says by itself that the store is full; a batch that fails runs row by row.
    with bench.backends.store.together() if len(held) > 1 else nullcontext():
        for adaptation, work in zip(held, loaded, strict=True):
            if isinstance(work, Failure):
                results.append(work)
                continue
            order, result = next(adapted)
            if isinstance(result, Adapted):
                timing = _timing(adaptation, load_ms, adapt_ms, len(ready))
                made = outcome_of(
                    bench, checkpoint, adaptation, work, order, result, timing, progress.moved
                )
                results.append(made)
            else:
                results.append(result)
            progress.moved()
    return results


@phase("load")
def _loaded(bench: Bench, held: Sequence[Adaptation]) -> tuple[Checkpoint, list[Work | Failure]]:
    """The batch's checkpoint and each row's support set. Raises BlobMissing, BlobDamaged or
    InvalidCheckpoint for the checkpoint.
    """
    checkpoint = hot_checkpoint(bench, held[0].checkpoint)
    return checkpoint, [load_work(bench, adaptation) for adaptation in held]


@phase("adapt")
def _adapted(
    bench: Bench,
    checkpoint: Checkpoint,
    ready: Sequence[Work],
    orders: Sequence[Order],
    outputs: int,
    progress: Progress,
) -> list[Adapted | Failure]:
    """The adaptation of every row; those that are adapted alike in one stacked call."""
    alike: dict[tuple[str, int], list[int]] = defaultdict(list)
    for index, order in enumerate(orders):
        alike[order.way.adapts, order.way.steps].append(index)
    results: dict[int, Adapted | Failure] = {}
    for (adapts, steps), indices in alike.items():
        rows = [replace(ready[index], step_size=orders[index].way.step_size) for index in indices]
        adapted = adapt_rows(
            checkpoint,
            rows,
            outputs=outputs,
            steps=steps,
            adapts=adapts,
            device=bench.device,
            progress=progress.moved,
        )
        results |= zip(indices, adapted, strict=True)
    return [results[index] for index in range(len(ready))]


def _about(held: Sequence[Adaptation]) -> dict[str, object]:
    return {**ids_of([adaptation.id for adaptation in held]), "E": len(held)}


def _timing(
    adaptation: Adaptation, load_ms: float, adapt_ms: float, batch_size: int
) -> dict[str, Any]:
    """In milliseconds: until the claim, reading what the batch needs, and its one stacked call."""
    waited = (adaptation.started_at or adaptation.queued_at) - adaptation.queued_at
    return {
        "queued_ms": round(max(waited, 0) * 1000, 3),
        "load_ms": round(load_ms, 3),
        "adapt_ms": round(adapt_ms, 3),
        "batch_size": batch_size,
    }


@phase("commit")
def _finish(bench: Bench, held: Sequence[Adaptation], results: Sequence[Result]) -> set[str]:
    """Ends the batch's rows; the ids of those that were still ours to end."""
    pairs = list(zip(held, results, strict=True))
    good = [(adaptation, result) for adaptation, result in pairs if isinstance(result, Outcome)]
    bad = [(adaptation, result) for adaptation, result in pairs if isinstance(result, Failure)]
    with writing(bench.backends.engine) as connection:
        kept = succeed(connection, good)
        for adaptation, why in bad:
            if fail(connection, adaptation, code=why.code, detail=why.detail):
                kept.add(adaptation.id)
        bill_ended(connection, pairs, kept)
    return kept


def _log_ended(
    held: Sequence[Adaptation], results: Sequence[Result], kept: set[str], *, seconds: float
) -> None:
    """A line for each row; seconds: from the claim to the commit, the same for a whole batch."""
    for adaptation, result in zip(held, results, strict=True):
        fields = {
            "adaptation_id": adaptation.id,
            "status": _word(result) if adaptation.id in kept else "fenced",
            "epoch": adaptation.epoch,
            "steps": adaptation.steps,
            "seconds": round(seconds, 3),
            **trace_fields(adaptation),
        }
        log.info("adaptation ended", extra=fields)


def _word(result: Result) -> str:
    return "succeeded" if isinstance(result, Outcome) else f"failed:{result.code}"
