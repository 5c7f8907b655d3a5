"""Traces, where the extra `fewstep[otel]` is installed and OTEL_* variables ask for them.

Else nothing of OpenTelemetry is imported here, and a span costs one look at an empty list. Ours is
no global provider: FastAPI would write whole query strings, and so what people predict, into spans
of its own.
"""

import importlib.util
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol

ASKED_BY: Final = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)
NOTHING: Final = nullcontext()

log = logging.getLogger(__name__)


class Span(Protocol):
    """One span while it lasts."""

    def name(self, name: str) -> None:
        """Gives it another name."""
        ...

    def tell(self, name: str, value: str | int | float) -> None:
        """Adds an attribute."""
        ...

    def fail(self, error: str) -> None:
        """Says that it ended badly, and how in one word."""
        ...

    @property
    def traceparent(self) -> str:
        """Its W3C traceparent, for who goes on with it elsewhere."""
        ...


class Tracer(Protocol):
    """What opens spans (``spans``)."""

    def server(
        self, headers: Sequence[tuple[bytes, bytes]], attributes: Mapping[str, Any]
    ) -> AbstractContextManager[Span]: ...

    def inside(self, name: str) -> AbstractContextManager[Span]: ...

    def consumer(
        self, name: str, parent: str, links: Sequence[str], attributes: Mapping[str, Any]
    ) -> AbstractContextManager[Span]: ...

    def past(
        self,
        name: str,
        parent: str,
        links: Sequence[str],
        attributes: Mapping[str, Any],
        lasted_s: tuple[float, float],
    ) -> str: ...

    def current(self) -> str | None: ...

    def close(self) -> None: ...


_open: list[Tracer] = []  # the one of this process


def start_tracing() -> None:
    """Opens this process's tracer, as the standard OTEL_* variables say."""
    if not _is_asked_for():
        return
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        log.warning("OTEL_* variables ask for traces; pip install 'fewstep[otel]'")
        return
    from app.observing.spans import open_tracer

    tracer = open_tracer()
    if tracer is not None:
        use_tracer(tracer)


def use_tracer(tracer: Tracer) -> None:
    """Has spans go there from now on."""
    end_tracing()
    _open.append(tracer)


def end_tracing() -> None:
    """Sends what waits to be sent."""
    while _open:
        _open.pop().close()


def tracer() -> Tracer | None:
    """What opens spans; None where nobody asked for traces."""
    return _open[0] if _open else None


def span(name: str) -> AbstractContextManager[Span | None]:
    """A span inside the current one, if any."""
    return _open[0].inside(name) if _open else NOTHING


def traceparent() -> str | None:
    """The W3C traceparent of the current span."""
    return _open[0].current() if _open else None


def trace_id_of(parent: str) -> str:
    """The trace that a W3C traceparent names."""
    return parent.split("-")[1]


def is_sampled(parent: str) -> bool:
    """Whether somebody keeps the trace that a W3C traceparent names."""
    return bool(int(parent.split("-")[3], 16) & 1)


def _is_asked_for() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if os.environ.get("OTEL_TRACES_EXPORTER", "").lower() == "none":
        return False
    return any(os.environ.get(name) for name in ASKED_BY)
