"""Equal work of one tenant is done once: rows that ask for the same take what the first came to.

Two adaptations are equal where their support sets, queries, checkpoint and way of adapting are, to
the last bit (``adaptations.work_digest``). Tenants share nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from app.db.connections import reading
from app.db.lookups import find_ended_equals
from app.store import BlobDamaged, BlobMissing
from app.values.adaptation import Adaptation, Outcome
from app.values.novelty import warnings_of
from worker.bench import Bench
from worker.outcomes import QUERIES_AT, Result

Run = Callable[[Sequence[Adaptation]], list[Result]]


def run_once_each(bench: Bench, held: Sequence[Adaptation], run: Run) -> list[Result]:
    """The result of every row, in their order; ``run`` works out one of those that are equal."""
    if not bench.backends.settings.share_equal_work:
        return run(held)
    known = _known(bench, held)
    firsts: dict[object, Adaptation] = {}
    for adaptation in held:
        if adaptation.id not in known:
            firsts.setdefault(_work_of(adaptation), adaptation)
    results = run(list(firsts.values())) if firsts else []
    worked = dict(zip(firsts, results, strict=True))
    return [
        _taken(known[adaptation.id], adaptation)
        if adaptation.id in known
        else _of_first(firsts[_work_of(adaptation)], worked[_work_of(adaptation)], adaptation)
        for adaptation in held
    ]


def _known(bench: Bench, held: Sequence[Adaptation]) -> dict[str, Outcome]:
    """By its id, what each row can take of an adaptation that ended before."""
    asked: dict[str, list[Adaptation]] = defaultdict(list)
    for adaptation in held:
        if adaptation.work_digest is not None:
            asked[adaptation.tenant_id].append(adaptation)
    found: dict[str, Outcome] = {}
    for tenant_id, rows in asked.items():
        with reading(bench.backends.engine) as connection:
            equal = find_ended_equals(connection, tenant_id, [str(row.work_digest) for row in rows])
        ended = {digest: row for digest, row in equal.items() if _kept_again(bench, row)}
        for row in rows:
            if row.work_digest in ended:
                found[row.id] = _outcome_of(ended[row.work_digest])
    return found


def _kept_again(bench: Bench, ended: Adaptation) -> bool:
    """Whether its φ is whole; put again, so that nobody frees it before the new row names it."""
    store, tenant_id = bench.backends.store, ended.tenant_id
    if ended.phi_digest is None:
        return False
    try:
        store.put(tenant_id, store.get(tenant_id, ended.phi_digest))
    except (BlobMissing, BlobDamaged):
        return False
    return True


def _outcome_of(ended: Adaptation) -> Outcome:
    return Outcome(
        phi_digest=str(ended.phi_digest),
        metrics=dict(ended.metrics or {}),
        predictions=ended.predictions,
        timing=dict(ended.timing or {}),
        warnings=warnings_of(ended.predictions, QUERIES_AT) if ended.predictions else (),
        made_by=ended.made_by,
    )


def _of_first(first: Adaptation, result: Result, adaptation: Adaptation) -> Result:
    if adaptation is first or not isinstance(result, Outcome):
        return result
    return _taken(result, adaptation)


def _taken(outcome: Outcome, adaptation: Adaptation) -> Outcome:
    """The outcome as that of a row that had no work of its own, but waited for it."""
    waited = max((adaptation.started_at or adaptation.queued_at) - adaptation.queued_at, 0)
    own = {"queued_ms": round(waited * 1000, 3), "load_ms": 0.0, "adapt_ms": 0.0, "batch_size": 0}
    return replace(outcome, timing=own)


def _work_of(adaptation: Adaptation) -> object:
    """What equal rows have in common; rows of before have nothing."""
    if adaptation.work_digest is None:
        return adaptation.id
    return (adaptation.tenant_id, adaptation.work_digest)
