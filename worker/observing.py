"""What a batch tells the operator: how long its adaptations waited, why they were not more, how
they ended, and their traces.

Hints are coalesced, so a message cannot carry a trace: each row brings its own (``trace_context``).
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from structlog.contextvars import bind_contextvars

from app.db.adaptations import most_together
from app.observing.metrics import BATCH, ENDED, EQUAL_WORK, FAILURES, QUEUE_WAIT_S
from app.observing.tracing import is_sampled, trace_id_of, tracer
from app.settings import Settings
from app.values.adaptation import Adaptation, Outcome
from app.values.ways import AUTO
from worker.outcomes import Result


def reason_of(held: Sequence[Adaptation], settings: Settings, *, others_wait: bool) -> str:
    """Why a claim took no more than these, the first reason that holds:

    alone (its worker was lost before), compared (``auto`` or ``assess`` go by themselves), full
    (FEWSTEP_BATCH_LIMIT), work-limit (FEWSTEP_MAX_EXAMPLE_STEPS), none-alike (what else waits has
    another batch key, or another worker is claiming it), none-waiting.
    """
    first, limit = held[0], settings.batch_limit
    if first.attempts_alone > 0:
        return "alone"
    if first.assess or first.adapts == AUTO:
        return "compared"
    if len(held) >= limit:
        return "full"
    if len(held) >= most_together(first, limit, settings.max_example_steps):
        return "work-limit"
    return "none-alike" if others_wait else "none-waiting"


def count_claim(held: Sequence[Adaptation], settings: Settings, *, others_wait: bool) -> None:
    """Counts a batch and how long each of its adaptations waited."""
    reason = reason_of(held, settings, others_wait=others_wait)
    BATCH.labels(reason).observe(len(held))
    for adaptation in held:
        QUEUE_WAIT_S.observe(_waited_s(adaptation)[1] - _waited_s(adaptation)[0])


def count_ended(held: Sequence[Adaptation], results: Sequence[Result], kept: set[str]) -> None:
    """Counts how they ended; *fenced* where the row had become another worker's meanwhile."""
    for adaptation, result in zip(held, results, strict=True):
        if adaptation.id not in kept:
            ENDED.labels("fenced").inc()
        elif isinstance(result, Outcome):
            ENDED.labels("succeeded").inc()
            EQUAL_WORK.inc(result.timing.get("batch_size") == 0)
        else:
            count_failure(result.code)


def count_failure(code: str) -> None:
    """Counts an adaptation that failed."""
    ENDED.labels("failed").inc()
    FAILURES.labels(code).inc()


@contextmanager
def batch_traced(held: Sequence[Adaptation]) -> Iterator[None]:
    """The block as a span of the first of the batch that somebody traces, linked with the others;
    and in each one's own trace how long it waited, and this work on it.
    """
    opened, traced = tracer(), [one for one in held if one.trace_context]
    if opened is None or not traced:
        yield
        return
    waits = {
        one.id: opened.past("queue", str(one.trace_context), (), _about(one), _waited_s(one))
        for one in traced
    }
    started_s = time.time()
    parent = next(filter(is_sampled, waits.values()), waits[traced[0].id])
    about = {"fewstep.batch.size": len(held), "fewstep.checkpoint": held[0].checkpoint.name}
    with opened.consumer("batch", parent, list(waits.values()), about) as batch:
        bind_contextvars(trace_id=trace_id_of(batch.traceparent))
        yield
    for one in traced:
        lasted_s = started_s, time.time()
        links = [batch.traceparent]
        opened.past("adaptation", str(one.trace_context), links, _about(one), lasted_s)


def trace_fields(adaptation: Adaptation) -> dict[str, object]:
    """The fields of a line about one adaptation that name its trace."""
    if tracer() is None or not adaptation.trace_context:
        return {}
    return {"trace_id": trace_id_of(adaptation.trace_context)}


def _about(adaptation: Adaptation) -> dict[str, str | int]:
    return {"fewstep.adaptation.id": adaptation.id, "fewstep.steps": adaptation.steps}


def _waited_s(adaptation: Adaptation) -> tuple[float, float]:
    """From when until when, in seconds since 1970."""
    begun = adaptation.started_at or adaptation.queued_at
    return adaptation.queued_at, max(begun, adaptation.queued_at)
