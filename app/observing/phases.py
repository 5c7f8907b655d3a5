"""A part of the work, timed for the metrics and shown as a span where there are traces."""

import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from app.observing.metrics import PHASE_S
from app.observing.tracing import span

Given = ParamSpec("Given")
Result = TypeVar("Result")


def phase(name: str) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """The function is this part of a batch; its time is counted however it ends."""
    seconds = PHASE_S.labels(name)

    def of(function: Callable[Given, Result]) -> Callable[Given, Result]:
        @wraps(function)
        def timed(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            started = time.perf_counter()
            try:
                with span(name):
                    return function(*args, **kwargs)
            finally:
                seconds.observe(time.perf_counter() - started)

        return timed

    return of


def traced(name: str) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """The function is a span of its own where there are traces; it is not counted."""

    def of(function: Callable[Given, Result]) -> Callable[Given, Result]:
        @wraps(function)
        def shown(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            with span(name):
                return function(*args, **kwargs)

        return shown

    return of
