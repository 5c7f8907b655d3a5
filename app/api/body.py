"""The body of a request, taken only as far as it may be: its type, its size, its time.

What can be refused before it is read, is; what becomes of the rest then is told in ``unread``.
"""

import asyncio
import math
from typing import Final

from starlette.requests import ClientDisconnect, Request

from app.api.headers import parse_parameters
from app.errors import ServiceError

MIB: Final = 2**20
WAY_OUT: Final = (
    "; pictures are shrunk to the checkpoint's input anyway, such as 28 x 28: send smaller ones"
)
UTF8: Final = frozenset({"utf-8", "utf8"})


async def read_body(request: Request, *, limit_bytes: int, timeout_s: float) -> bytes:
    """The whole body, at most ``limit_bytes`` long, as it arrived within ``timeout_s``.

    Raises ServiceError: payload-too-large, unsupported-media-type where it is compressed,
    bad-request where it is too slow or breaks off.
    """
    check_encoding(request)
    check_declared_length(request, limit_bytes, WAY_OUT)
    try:
        async with asyncio.timeout(timeout_s):
            body = await _collect(request, limit_bytes)
    except TimeoutError:
        detail = f"expected the whole body within {timeout_s:g} s, got a part of it"
        raise ServiceError("bad-request", detail) from None
    except ClientDisconnect:
        raise ServiceError("bad-request", "expected the whole body, got a part of it") from None
    return body


def require_media_type(request: Request, *allowed: str) -> str:
    """The media type of the body, one of ``allowed``, in lower case and without parameters.

    Raises ServiceError unsupported-media-type, also for a charset other than UTF-8.
    """
    names = " or ".join(allowed)
    try:
        (value,) = request.headers.getlist("content-type")
        media_type, parameters = parse_parameters(value)
    except ValueError:
        detail = f"expected one Content-Type, {names}, got none or another form"
        raise ServiceError("unsupported-media-type", detail) from None
    if media_type not in allowed:
        raise ServiceError("unsupported-media-type", f"expected {names}, got another type")
    if parameters.get("charset", "utf-8").lower() not in UTF8:
        raise ServiceError("unsupported-media-type", "expected charset utf-8, got another")
    return media_type


def check_encoding(request: Request) -> None:
    """Raises ServiceError unsupported-media-type for a compressed body."""
    encodings = ",".join(request.headers.getlist("content-encoding"))
    if encodings.strip().lower() not in ("", "identity"):
        detail = "expected a body without Content-Encoding, got a compressed one"
        raise ServiceError("unsupported-media-type", detail)


def check_declared_length(request: Request, limit_bytes: int, way_out: str = "") -> None:
    """Raises ServiceError: bad-request for a length that is none, payload-too-large."""
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()):
        raise ServiceError("bad-request", "expected digits as Content-Length, got something else")
    if len(declared) > 18:
        raise too_large(limit_bytes, "more", way_out)
    if int(declared) > limit_bytes:
        raise too_large(limit_bytes, f"{math.ceil(int(declared) * 10 / MIB) / 10:g} MiB", way_out)


async def _collect(request: Request, limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > limit_bytes:
            raise too_large(limit_bytes, "more", WAY_OUT)
        body += chunk
    return bytes(body)


def too_large(limit_bytes: int, got: str, way_out: str = "") -> ServiceError:
    """The refusal of a body beyond the limit, and what to do instead."""
    detail = f"expected at most {limit_bytes / MIB:g} MiB, got {got}{way_out}"
    return ServiceError("payload-too-large", detail)
