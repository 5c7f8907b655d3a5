"""One trace from the caller's request to the worker's batch, and nothing without the extra."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.testclient import TestClient
from structlog.contextvars import clear_contextvars, get_contextvars

from app.api.application import create_service
from app.observing import tracing
from app.observing.spans import SdkTracer
from tests.worker.conftest import OpenBench
from tests.worker.orders import look, place, sine_points
from worker.batch import run_hint
from worker.bench import Bench

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE, PARENT = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
UNSAMPLED = CALLER[:-2] + "00"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    """What would be sent, from now on."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use_tracer(SdkTracer(provider))
    clear_contextvars()
    yield exporter
    tracing.end_tracing()
    clear_contextvars()


@pytest.fixture
def bench(open_bench: OpenBench) -> Bench:
    return open_bench(host="testserver")


@pytest.fixture
def client(bench: Bench) -> Iterator[TestClient]:
    app = create_service(bench.backends.settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def adapt(client: TestClient, seed: int = 1, **headers: str) -> str:
    """The id of a newly queued adaptation."""
    x, y = sine_points(seed)
    support = {"inputs": x.tolist(), "targets": y.tolist()}
    order = {"checkpoint": "sinusoid", "support": support}
    answer = client.post("/adapt", json=order, headers={"Prefer": "respond-async", **headers})
    assert answer.status_code == 202
    return str(answer.json()["id"])


def spans(exported: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """By name; of several that are called the same the last."""
    return {span.name: span for span in exported.get_finished_spans()}


def trace_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.trace_id


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def test_one_trace_leads_from_the_callers_request_to_the_workers_batch(
    client: TestClient, bench: Bench, exported: InMemorySpanExporter
) -> None:
    mine = adapt(client, traceparent=CALLER)
    run_hint(bench, mine)

    found = spans(exported)
    assert {trace_of(span) for span in found.values()} == {TRACE}
    request, queue, batch = found["POST /adapt"], found["queue"], found["batch"]
    assert (parent_of(request), request.kind) == (PARENT, SpanKind.SERVER)
    assert parent_of(queue) == id_of(found["place"])
    assert parent_of(found["place"]) == id_of(request)
    assert (parent_of(batch), batch.kind) == (id_of(queue), SpanKind.CONSUMER)
    assert {name for name, span in found.items() if parent_of(span) == id_of(batch)} == {
        "load",
        "adapt",
        "keep",
        "commit",
    }


def test_every_adaptation_of_a_batch_has_its_work_in_its_own_trace(
    client: TestClient, bench: Bench, exported: InMemorySpanExporter
) -> None:
    mine = [adapt(client, seed) for seed in (1, 2, 3)]
    run_hint(bench, mine[0])

    all_of = exported.get_finished_spans()
    [batch] = [span for span in all_of if span.name == "batch"]
    traces = {trace_of(span) for span in all_of if span.name == "POST /adapt"}
    worked = [span for span in all_of if span.name == "adaptation"]
    assert len(traces) == 3
    assert {trace_of(span) for span in worked} == traces
    assert {link.context.span_id for span in worked for link in span.links} == {id_of(batch)}
    assert {link.context.trace_id for link in batch.links} == traces
    ids = {(span.attributes or {})["fewstep.adaptation.id"] for span in worked}
    assert ids == set(mine)


def test_the_lines_of_one_call_go_on_in_its_trace(
    client: TestClient, bench: Bench, exported: InMemorySpanExporter
) -> None:
    lines = [
        {"checkpoint": "sinusoid", "support": {"inputs": [[0.1]], "targets": [[y]]}} for y in (1, 2)
    ]
    client.post(
        "/adaptations:batch",
        content="\n".join(map(json.dumps, lines)),
        headers={
            "Content-Type": "application/x-ndjson",
            "Prefer": "respond-async",
            "traceparent": CALLER,
        },
    )
    run_hint(bench, "")

    found = exported.get_finished_spans()
    assert {trace_of(span) for span in found} == {TRACE}
    assert [span.name for span in found].count("adaptation") == 2


def test_a_batch_is_shown_where_somebody_keeps_its_trace(
    client: TestClient, bench: Bench, exported: InMemorySpanExporter
) -> None:
    mine = [adapt(client, 1, traceparent=UNSAMPLED), adapt(client, 2)]
    run_hint(bench, mine[0])

    found = spans(exported)
    assert trace_of(found["batch"]) != TRACE
    assert trace_of(found["batch"]) == trace_of(found["POST /adapt"])


def test_a_row_without_a_trace_is_worked_on_without_spans(
    bench: Bench, exported: InMemorySpanExporter
) -> None:
    run_hint(bench, place(bench))

    assert exported.get_finished_spans() == ()


def test_the_row_carries_the_trace(
    client: TestClient, bench: Bench, exported: InMemorySpanExporter
) -> None:
    mine = adapt(client, traceparent=CALLER)

    kept = look(bench, mine).trace_context or ""
    assert kept.split("-")[:2] == CALLER.split("-")[:2]
    assert len(kept) == 55


def test_a_span_holds_nothing_of_what_is_predicted_or_adapted_to(
    client: TestClient, bench: Bench, exported: InMemorySpanExporter
) -> None:
    mine = adapt(client)
    run_hint(bench, mine)
    client.get(f"/predict?adaptation={mine}&input=0.123456")
    client.get("/predict?adaptation=ad_sesame&input=sesame", headers={"User-Agent": "sesame"})

    told = json.dumps([json.loads(span.to_json()) for span in exported.get_finished_spans()])
    assert "GET /predict" in told
    assert "0.123456" not in told
    assert "sesame" not in told


def test_probes_and_scrapes_are_no_traces(
    client: TestClient, exported: InMemorySpanExporter
) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        client.get(path)

    assert [span.name for span in exported.get_finished_spans()] == []


def test_a_mistake_of_ours_is_an_error_and_a_refusal_is_none(
    client: TestClient, exported: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("sesame")

    client.get("/predict")
    monkeypatch.setattr("app.api.routes_service._limits", broken)
    client.get("/limits")

    found = spans(exported)
    refused, failed = found["GET /predict"], found["GET /limits"]
    assert (refused.status.status_code, failed.status.status_code) == (
        StatusCode.UNSET,
        StatusCode.ERROR,
    )
    assert "sesame" not in failed.to_json()


def test_lines_name_the_trace(
    client: TestClient,
    bench: Bench,
    exported: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def add_context(record: logging.LogRecord) -> bool:
        vars(record).update({**get_contextvars(), **vars(record)})
        return True

    caplog.handler.addFilter(add_context)
    for name in ("app", "worker"):
        caplog.set_level(logging.INFO, logger=name)
    mine = adapt(client, traceparent=CALLER)
    run_hint(bench, mine)
    caplog.handler.removeFilter(add_context)

    lines: dict[str, Any] = {line.getMessage(): vars(line) for line in caplog.records}
    said = ("adaptation placed", "batch claimed", "adaptation ended")
    assert {lines[one].get("trace_id") for one in said} == {f"{TRACE:032x}"}
