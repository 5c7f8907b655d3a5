"""Spans by OpenTelemetry's SDK; only ``tracing`` imports this, and only where traces are wanted."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points, version
from typing import Any, Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

EXPORTERS: Final = "opentelemetry_traces_exporter"  # the entry points of all of them
W3C: Final = TraceContextTextMapPropagator()

log = logging.getLogger(__name__)


class OpenSpan:
    """One span of the SDK."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def name(self, name: str) -> None:
        self._span.update_name(name)

    def tell(self, name: str, value: str | int | float) -> None:
        self._span.set_attribute(name, value)

    def fail(self, error: str) -> None:
        self._span.set_attribute("error.type", error)
        self._span.set_status(Status(StatusCode.ERROR))

    @property
    def traceparent(self) -> str:
        return _traceparent(self._span)


class SdkTracer:
    """Opens spans of one provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("fewstep", version("fewstep"))

    @contextmanager
    def server(
        self, headers: Sequence[tuple[bytes, bytes]], attributes: Mapping[str, Any]
    ) -> Iterator[OpenSpan]:
        """A request's, below its caller's where the headers name one (OTEL_PROPAGATORS)."""
        carrier: dict[str, list[str]] = {}
        for name, value in headers:
            carrier.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        parent = propagate.extract(carrier)
        with self._started("request", parent, SpanKind.SERVER, (), attributes) as span:
            yield span

    @contextmanager
    def inside(self, name: str) -> Iterator[OpenSpan]:
        """Part of the current span; nothing where none is current, for it would tell of nobody."""
        if not trace.get_current_span().get_span_context().is_valid:
            yield OpenSpan(trace.INVALID_SPAN)
            return
        with self._started(name, None, SpanKind.INTERNAL, (), {}) as span:
            yield span

    @contextmanager
    def consumer(
        self, name: str, parent: str, links: Sequence[str], attributes: Mapping[str, Any]
    ) -> Iterator[OpenSpan]:
        """Work on what was queued; parent and links: traceparents."""
        with self._started(name, _context(parent), SpanKind.CONSUMER, links, attributes) as span:
            yield span

    def past(
        self,
        name: str,
        parent: str,
        links: Sequence[str],
        attributes: Mapping[str, Any],
        lasted_s: tuple[float, float],
    ) -> str:
        """A span that has ended, between two times in seconds since 1970; its traceparent."""
        started, ended = (int(moment * 1e9) for moment in lasted_s)
        span = self._tracer.start_span(
            name,
            context=_context(parent),
            links=_links(links),
            attributes=dict(attributes),
            start_time=started,
        )
        span.end(max(started, ended))
        return _traceparent(span)

    def current(self) -> str | None:
        """The traceparent of the current span, where there is one."""
        span = trace.get_current_span()
        return _traceparent(span) if span.get_span_context().is_valid else None

    def close(self) -> None:
        """Sends what waits."""
        self._provider.shutdown()

    @contextmanager
    def _started(
        self,
        name: str,
        parent: Context | None,
        kind: SpanKind,
        links: Sequence[str],
        attributes: Mapping[str, Any],
    ) -> Iterator[OpenSpan]:
        """Whatever ends it by an exception is named, but not what the exception says: that may hold
        what callers sent.
        """
        with self._tracer.start_as_current_span(
            name,
            context=parent,
            kind=kind,
            links=_links(links),
            attributes=dict(attributes),
            record_exception=False,
            set_status_on_exception=False,
        ) as raw:
            span = OpenSpan(raw)
            try:
                yield span
            except Exception as error:
                span.fail(type(error).__name__)
                raise


def open_tracer() -> SdkTracer | None:
    """One that sends by the exporter that OTEL_TRACES_EXPORTER names, else by OTLP; None where that
    exporter is not installed.
    """
    exporter = _exporter()
    if exporter is None:
        return None
    ours = Resource({SERVICE_NAME: "fewstep", SERVICE_VERSION: version("fewstep")})
    provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return SdkTracer(provider)


def _exporter() -> SpanExporter | None:
    name = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    if name == "otlp":
        protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get(
            "OTEL_EXPORTER_OTLP_PROTOCOL"
        )
        name = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    found = list(entry_points(group=EXPORTERS, name=name))
    if not found:
        log.warning("no exporter of traces of this name is installed", extra={"exporter": name})
        return None
    exporter: SpanExporter = found[0].load()()
    return exporter


def _context(parent: str) -> Context:
    return W3C.extract({"traceparent": parent}, context=Context())


def _links(parents: Sequence[str]) -> list[trace.Link]:
    spans = (trace.get_current_span(_context(parent)) for parent in parents)
    return [trace.Link(span.get_span_context()) for span in spans]


def _traceparent(span: trace.Span) -> str:
    carrier: dict[str, str] = {}
    W3C.inject(carrier, context=trace.set_span_in_context(span, Context()))
    return carrier["traceparent"]
