"""A body that goes to disk as it arrives, and is gone again when its request ends."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect, Request

from app.api.body import check_declared_length, check_encoding, too_large
from app.errors import ServiceError

WRITTEN_AT_ONCE: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A whole body; digest: SHA-256, hex."""

    path: Path
    size: int
    digest: str


@asynccontextmanager
async def received(
    request: Request, folder: Path, *, limit_bytes: int, timeout_s: float
) -> AsyncIterator[Received]:
    """The body as a file of the folder, at most ``limit_bytes`` long, arrived within ``timeout_s``.

    Raises ServiceError: payload-too-large, unsupported-media-type where it is compressed,
    bad-request where it is too slow or breaks off.
    """
    check_encoding(request)
    check_declared_length(request, limit_bytes)
    await run_sync(lambda: folder.mkdir(parents=True, exist_ok=True, mode=0o700))
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        path, size, digest = Path(file.name), 0, hashlib.sha256()
        waiting = bytearray()
        try:
            async with asyncio.timeout(timeout_s):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > limit_bytes:
                        raise too_large(limit_bytes, "more")
                    waiting += chunk
                    if len(waiting) >= WRITTEN_AT_ONCE:
                        await run_sync(file.write, bytes(waiting))
                        digest.update(waiting)
                        waiting.clear()
        except TimeoutError:
            detail = f"expected the whole body within {timeout_s:g} s, got a part of it"
            raise ServiceError("bad-request", detail) from None
        except ClientDisconnect:
            raise ServiceError("bad-request", "expected the whole body, got a part of it") from None
        digest.update(waiting)
        file.write(waiting)
        file.flush()
        yield Received(path=path, size=size, digest=digest.hexdigest())
