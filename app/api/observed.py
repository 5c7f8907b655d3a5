"""Every request is counted and timed by the template of its route, and is a span where there are
traces.

Never by its path or query: those are the caller's own, without end, and hold what is predicted.
"""

import time
from contextlib import nullcontext
from functools import cache
from typing import Any, Final

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from app.observing.metrics import REQUEST_S, REQUESTS
from app.observing.tracing import Span, trace_id_of, tracer

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNTRACED: Final = frozenset({"/livez", "/readyz", "/metrics"})  # asked by machines, over and over


def observed(app: ASGIApp) -> ASGIApp:
    """The application around everything else but the request's id."""

    async def observe(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started = time.perf_counter()
        with _span(scope) as span:
            if span is not None:
                bind_contextvars(trace_id=trace_id_of(span.traceparent))

            async def tell(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _count(scope, message["status"], time.perf_counter() - started)
                    if span is not None:
                        _show(span, scope, message["status"])
                await send(message)

            await app(scope, receive, tell)

    return observe


def _count(scope: Scope, status: int, seconds: float) -> None:
    requests, request_s = _counters(_method(scope), _route(scope), status)
    requests.inc()
    request_s.observe(seconds)


@cache
def _counters(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Looked up once: finding them takes twice as long as counting with them."""
    return REQUESTS.labels(method, route, status), REQUEST_S.labels(method, route)


def _span(scope: Scope) -> Any:
    opened = tracer()
    if opened is None or scope["path"] in UNTRACED:
        return nullcontext()
    attributes = {"http.request.method": _method(scope), "url.scheme": scope["scheme"]}
    return opened.server(scope["headers"], attributes)


def _show(span: Span, scope: Scope, status: int) -> None:
    method, route = _method(scope), _route(scope)
    span.name(f"{method} {route}")
    span.tell("http.route", route)
    span.tell("http.response.status_code", status)
    if status >= 500:
        span.fail(str(status))


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in METHODS else "other"


def _route(scope: Scope) -> str:
    """The template, as /adaptations/{adaptation_id}."""
    return getattr(scope.get("route"), "path", None) or "unmatched"
