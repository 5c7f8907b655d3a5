"""From an adapted support set to what its row says: φ kept, queries predicted, scores measured."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.inputs.examples import unpack_arrays
from app.kinds import find_kind
from app.observing.phases import phase
from app.store import BlobDamaged, BlobMissing, StoreFull
from app.values.adaptation import Adaptation, Outcome
from app.values.arrays import INPUT, TARGET, Arrays
from app.values.novelty import warnings_of
from app.values.warnings import Warning
from app.values.ways import ALL, AUTO, CLOSED_FORMS, RECIPE, WEIGHTS, Way
from models.files.adapted_file import dump_adapted
from models.files.checkpoint import Checkpoint
from models.learner import Adapted
from worker.assessing import Scores, best_way, compare, leave_one_out, ways_of
from worker.bench import Bench
from worker.making import made_by
from worker.stacking import before_adaptation, query_outputs
from worker.work import Failure, Work

Result = Outcome | Failure
QUERIES_AT: Final = "/query/inputs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How one row is adapted; scores: of the comparison that chose it, where one did."""

    way: Way
    scores: Scores | None = None


def order_of(
    checkpoint: Checkpoint,
    adaptation: Adaptation,
    work: Work,
    progress: Callable[[], None] = lambda: None,
) -> Order:
    """What the row says, or where that is ``auto`` what leaving examples out says."""
    adapts = adaptation.adapts
    if adapts != AUTO:
        adapts = checkpoint.inner_loop.adapts if adapts == RECIPE else adapts
        way = Way(adapts=adapts, steps=adaptation.steps, step_size=adaptation.step_size)
        return Order(way=way)
    chosen = (adaptation.metrics or {}).get("adapts")
    if chosen in ways_of(checkpoint):  # by whoever adapted first
        return Order(way=ways_of(checkpoint)[chosen])
    scores = compare(checkpoint, work, outputs=adaptation.outputs, progress=progress)
    return Order(way=best_way(checkpoint, work, scores), scores=scores)


def outcome_of(
    bench: Bench,
    checkpoint: Checkpoint,
    adaptation: Adaptation,
    work: Work,
    order: Order,
    adapted: Adapted,
    timing: dict[str, Any],
    progress: Callable[[], None] = lambda: None,
) -> Result:
    """The outcome of a row, its φ already in the store; a Failure where a part of it went wrong.

    progress: called between two steps of an assessment; what it raises ends the work.
    """
    metrics: dict[str, Any] = {"support_loss": [float(loss) for loss in adapted.losses]}
    metrics = metrics if adapted.metrics is None else dict(adapted.metrics)
    metrics |= _kept_short(order.way, adapted)
    predictions, warnings = None, list[Warning]()
    if adaptation.query_digest is not None:
        try:
            query = unpack_arrays(
                bench.backends.store.get(adaptation.tenant_id, adaptation.query_digest)
            )
        except (BlobMissing, BlobDamaged):
            return Failure(code="damaged", detail="the stored query set failed its check")
        outputs = query_outputs(checkpoint, adapted, query[INPUT]).numpy()
        if not np.isfinite(outputs).all():
            detail = "a query's prediction is not finite; scale the inputs of support and queries"
            return Failure(code="diverged", detail=detail)
        predictions = find_kind(adaptation.task).readable(
            outputs, adaptation.classes, values=adaptation.outputs
        )
        warnings = warnings_of(predictions, QUERIES_AT)
        scores = outputs[:, : adaptation.outputs]
        metrics |= _query_metrics(checkpoint, adaptation, work, query, scores)
    metrics |= _assessed(checkpoint, adaptation, work, order, progress)
    storing = time.perf_counter()
    try:
        phi = store_phi(bench, checkpoint, adaptation, order.way, work, adapted)
    except StoreFull:
        return Failure(code="store-full", detail="there is no room for the adapted parameters")
    timing = timing | {"store_ms": round((time.perf_counter() - storing) * 1000, 3)}
    return Outcome(
        phi_digest=phi,
        metrics=metrics,
        predictions=predictions,
        timing=timing,
        warnings=warnings,
        made_by=made_by(checkpoint, bench.device),
    )


def _query_metrics(
    checkpoint: Checkpoint,
    adaptation: Adaptation,
    work: Work,
    query: Arrays,
    outputs: NDArray[np.float32],
) -> dict[str, float | None]:
    if TARGET not in query:
        return {}
    kind = find_kind(adaptation.task)
    before = before_adaptation(checkpoint, work, outputs=adaptation.outputs)
    untouched = query_outputs(checkpoint, before, query[INPUT]).numpy()[:, : adaptation.outputs]
    return {
        f"query_{kind.measure}": kind.score(outputs, query[TARGET]),
        f"query_{kind.measure}_before": kind.score(untouched, query[TARGET]),
    }


def _kept_short(way: Way, adapted: Adapted) -> dict[str, float]:
    """The size of the last step, where it is not the one that was asked for."""
    if adapted.step_size is None or way.adapts in CLOSED_FORMS:
        return {}
    asked, taken = way.step_size, float(adapted.step_size)
    return {} if asked is not None and taken >= np.float32(asked) else {"step_size_taken": taken}


def _assessed(
    checkpoint: Checkpoint,
    adaptation: Adaptation,
    work: Work,
    order: Order,
    progress: Callable[[], None],
) -> dict[str, Any]:
    """What leaving examples out says of the adaptation, of others, and of simpler methods."""
    scores, metrics = order.scores, dict[str, Any]()
    if scores is None and adaptation.assess:
        scores = compare(checkpoint, work, outputs=adaptation.outputs, progress=progress)
    if scores is None:
        return metrics
    kind = find_kind(adaptation.task)
    own, default = order.way, ways_of(checkpoint)
    known = [scores[name] for name, way in default.items() if way == own]
    score = known[0] if known else None
    if not known:
        score = leave_one_out(checkpoint, work, own, outputs=adaptation.outputs, progress=progress)
    examples = len(kind.left_out(work.support))
    metrics[f"leave_one_out_{kind.measure}"] = score
    metrics["assessed"] = scores
    metrics["best"] = kind.best_of(scores, examples=examples)
    if adaptation.adapts == AUTO:
        names = {way: name for name, way in default.items()}
        metrics["adapts"] = names[own]
    return metrics


@phase("keep")
def store_phi(
    bench: Bench,
    checkpoint: Checkpoint,
    adaptation: Adaptation,
    way: Way,
    work: Work,
    adapted: Adapted,
) -> str:
    """Keeps φ as a blob of the tenant, without a body that is the checkpoint's; its digest."""
    is_theta = way.steps == 0 or way.adapts not in (ALL, WEIGHTS)
    body = adaptation.checkpoint.digest if is_theta else None
    description = description_of(checkpoint, adaptation, way, work)
    data = dump_adapted(adapted, description, body=body)
    return bench.backends.store.put(adaptation.tenant_id, data)


def _shape_of(work: Work) -> tuple[int, ...]:
    return work.support[INPUT].shape[1:]


def description_of(
    checkpoint: Checkpoint, adaptation: Adaptation, way: Way, work: Work
) -> dict[str, Any]:
    """What the adapted model's file says of itself; equal adaptations say the same."""
    learner = checkpoint.learner
    return {
        "task": learner.task,
        "network": {"name": checkpoint.network, **checkpoint.network_config},
        "head": {"kind": learner.head.kind},
        "normalisation": learner.normalisation,
        "input": {
            "shape": list(checkpoint.input_shape if checkpoint.acting else _shape_of(work)),
            "preprocessing": adaptation.preprocessing or checkpoint.preprocessing,
        },
        "classes": list(adaptation.classes) if adaptation.classes is not None else None,
        "outputs": adaptation.outputs,
        "adapts": way.adapts,
        "steps": way.steps,
        "step_size": way.step_size,
        **({"policy": asdict(checkpoint.acting)} if checkpoint.acting else {}),
        "checkpoint": {
            "name": adaptation.checkpoint.name,
            "version": adaptation.checkpoint.version,
            "digest": f"sha256:{adaptation.checkpoint.digest}",
        },
    }
