"""From an adapted support set to what its row says: φ kept, queries predicted, scores measured."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.inputs.examples import unpack_arrays
from app.kinds import find_kind
from app.store import BlobDamaged, BlobMissing, StoreFull
from app.values.adaptation import Adaptation, Outcome
from app.values.arrays import INPUT, TARGET, Arrays
from models.files.adapted_file import dump_adapted
from models.files.checkpoint import Checkpoint
from models.inner_loop import Adapted
from worker.assessing import leave_one_out
from worker.bench import Bench
from worker.stacking import Failure, Work, before_adaptation, query_outputs

Result = Outcome | Failure


def outcome_of(
    bench: Bench,
    checkpoint: Checkpoint,
    adaptation: Adaptation,
    work: Work,
    adapted: Adapted,
    timing: dict[str, Any],
    progress: Callable[[], None] = lambda: None,
) -> Result:
    """The outcome of a row, its φ already in the store; a Failure where a part of it went wrong.

    progress: called between two steps of an assessment; what it raises ends the work.
    """
    metrics: dict[str, Any] = {"support_loss": [float(loss) for loss in adapted.losses]}
    predictions = None
    if adaptation.query_digest is not None:
        try:
            query = unpack_arrays(
                bench.backends.store.get(adaptation.tenant_id, adaptation.query_digest)
            )
        except (BlobMissing, BlobDamaged):
            return Failure(code="damaged", detail="the stored query set failed its check")
        outputs = query_outputs(checkpoint, adapted, query[INPUT]).numpy()
        if not np.isfinite(outputs).all():
            return Failure(code="diverged", detail="a query's prediction is not finite")
        predictions = find_kind(adaptation.task).readable(outputs, adaptation.classes)
        metrics |= _query_metrics(checkpoint, adaptation, work, query, outputs)
    if adaptation.assess:
        metrics |= leave_one_out(
            checkpoint, work, outputs=adaptation.outputs, steps=adaptation.steps, progress=progress
        )
    storing = time.perf_counter()
    try:
        phi = store_phi(bench, checkpoint, adaptation, adapted)
    except StoreFull:
        return Failure(code="store-full", detail="there is no room for the adapted parameters")
    timing = timing | {"store_ms": round((time.perf_counter() - storing) * 1000, 3)}
    return Outcome(phi_digest=phi, metrics=metrics, predictions=predictions, timing=timing)


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
    untouched = query_outputs(checkpoint, before, query[INPUT]).numpy()
    return {
        f"query_{kind.measure}": kind.score(outputs, query[TARGET]),
        f"query_{kind.measure}_before": kind.score(untouched, query[TARGET]),
    }


def store_phi(
    bench: Bench, checkpoint: Checkpoint, adaptation: Adaptation, adapted: Adapted
) -> str:
    """Keeps φ as a blob of the tenant; its digest."""
    return bench.backends.store.put(
        adaptation.tenant_id, dump_adapted(adapted, description_of(checkpoint, adaptation))
    )


def description_of(checkpoint: Checkpoint, adaptation: Adaptation) -> dict[str, Any]:
    """What the adapted model's file says of itself; equal adaptations say the same."""
    learner = checkpoint.learner
    return {
        "task": learner.task,
        "network": {"name": checkpoint.network, **checkpoint.network_config},
        "head": {"kind": learner.head.kind},
        "normalisation": learner.normalisation,
        "input": {
            "shape": list(checkpoint.input_shape),
            "preprocessing": checkpoint.preprocessing,
        },
        "classes": list(adaptation.classes) if adaptation.classes is not None else None,
        "outputs": adaptation.outputs,
        "steps": adaptation.steps,
        "step_size": adaptation.step_size,
        "checkpoint": {
            "name": adaptation.checkpoint.name,
            "version": adaptation.checkpoint.version,
            "digest": f"sha256:{adaptation.checkpoint.digest}",
        },
    }
