"""Refusals as problem details (RFC 9457), and the handlers that make every error of the API one.

The one edge where whatever went wrong is caught: logged here, and told to the caller without a word
of what it was.
"""

import json
import logging
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from app.api.complaints import errors_from_pydantic
from app.errors import ServiceError
from app.observing.metrics import PROBLEMS

PROTOCOL: Final = "/v2"  # whose clients look for words under "error" (RFC 9457, 3.2 lets us)
MEDIA_TYPE: Final = "application/problem+json"
MAX_BYTES: Final = 4096
MAX_DETAIL_CHARACTERS: Final = 500
CHALLENGE: Final = 'Bearer realm="fewstep", Basic realm="fewstep", charset="UTF-8"'
RETRY_AFTER_S: Final = {"not-ready": 1, "rate-limited": 1, "queue-full": 1, "unavailable": 1}
FILES: Final = ("GET", "HEAD")  # what a mounted folder answers
CODES: Final = {
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "payload-too-large",
    415: "unsupported-media-type",
    422: "validation",
    429: "rate-limited",
    503: "unavailable",
}

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Makes every error that leaves a route, or never reaches one, a problem."""
    app.add_exception_handler(ServiceError, _answer)
    app.add_exception_handler(RequestValidationError, _answer)
    app.add_exception_handler(HTTPException, _answer)
    app.add_exception_handler(Exception, _answer)


def problem_response(error: ServiceError) -> Response:
    """The refusal as an answer of at most 4096 bytes."""
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    retry_after_s = error.retry_after_s or RETRY_AFTER_S.get(error.code)
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    if error.allow is not None:
        headers["Allow"] = error.allow
    return Response(problem_body(error), error.status, headers, MEDIA_TYPE)


def _answer(request: Request, error: Exception) -> Response:
    refusal = _refusal(request, error)
    PROBLEMS.labels(refusal.code).inc()
    answer = problem_response(refusal)
    if not request.url.path.startswith(PROTOCOL):
        return answer
    told = json.loads(bytes(answer.body)) | {"error": refusal.detail[:MAX_DETAIL_CHARACTERS]}
    own = {"content-length", "content-type"}
    headers = {name: value for name, value in answer.headers.items() if name not in own}
    return Response(_dump(told), refusal.status, headers, MEDIA_TYPE)


def _refusal(request: Request, error: Exception) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid_parameters(error)
    if isinstance(error, HTTPException):
        return _refused_by_framework(request, error)
    route = getattr(request.scope.get("route"), "path", None)
    fields = {"method": request.method, "route": route, "error": type(error).__name__}
    log.error("request failed", extra=fields)  # the server logs the traceback
    return ServiceError("internal", "the service made a mistake; it is logged")


def _invalid_parameters(error: RequestValidationError) -> ServiceError:
    """What FastAPI found in a path or query; the pointer is the parameter's name."""
    found = [{**one, "loc": one["loc"][1:]} for one in error.errors()]
    return ServiceError(
        "validation", "some parameters are wrong", errors=errors_from_pydantic(found)
    )


def _refused_by_framework(request: Request, error: HTTPException) -> ServiceError:
    code = CODES.get(error.status_code, "bad-request" if error.status_code < 500 else "internal")
    if code == "not-found":
        return ServiceError(code, "expected a path that this service has, got another")
    if code == "method-not-allowed":
        allow = _methods(request)
        return ServiceError(code, f"expected {allow}, got another method", allow=allow)
    return ServiceError(code, "the request cannot be answered")


def _methods(request: Request) -> str:
    """All methods that this path has, in whichever route; the framework names those of one."""
    routes = [r for r in request.app.routes if r.matches(request.scope)[0] != Match.NONE]
    methods = {method for route in routes for method in getattr(route, "methods", ())}
    methods |= {"HEAD"} if "GET" in methods else set()
    return ", ".join(sorted(methods or FILES))


def problem_body(error: ServiceError) -> bytes:
    """The refusal as JSON of at most 4096 bytes: as many of its errors as fit, from the first."""
    problem: dict[str, Any] = {
        "type": f"/problems/{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail[:MAX_DETAIL_CHARACTERS],
        "code": error.code,
    }
    errors = [{"pointer": one.pointer, "detail": one.detail} for one in error.errors]
    while errors and len(_dump({**problem, "errors": errors})) > MAX_BYTES:
        errors.pop()
    return _dump({**problem, "errors": errors} if errors else problem)


def _dump(problem: dict[str, Any]) -> bytes:
    return json.dumps(problem, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
