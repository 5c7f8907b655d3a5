"""A client that costs less than the service: kept connections and requests that are bytes already.

One request at a time on each connection, as a browser or a program that waits would.
"""

import asyncio
import itertools
import re
import time
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
BOUNDARY = b"fewstep-benchmark"


class Connection(asyncio.Protocol):
    """One kept connection."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        length = LENGTH.search(self._received, 0, end + 2)
        size = int(length[1]) if length else 0
        if len(self._received) < end + 4 + size:
            return
        status, body = int(self._received[9:12]), bytes(self._received[end + 4 :])
        self._received.clear()
        answer, self._answer = self._answer, None
        answer.set_result((status, body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("the service closed the line"))

    async def ask(self, request: bytes) -> bytes:
        """The body of a successful answer. Raises RuntimeError for any other, and ConnectionError
        on a line that the service closed: it does so after some idle seconds.
        """
        if self._transport.is_closing():
            raise ConnectionError("the service closed the line")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        status, body = await self._answer
        if status not in (200, 201):
            raise RuntimeError(f"{status}: {body[:300]!r}")
        return body

    def close(self) -> None:
        self._transport.close()


async def connect(port: int) -> Connection:
    """A connection to the service on this port of the machine."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    return connection


async def drive(
    port: int,
    requests: Iterable[bytes],
    *,
    clients: int,
    seconds: float | None = None,
    answered: Callable[[bytes], object] = lambda body: None,
) -> list[float]:
    """The latency of each request in seconds, from so many clients that never pause.

    seconds: then no new request is begun; None: until the requests are used up.
    """
    pending, latencies = iter(requests), []
    until = time.perf_counter() + seconds if seconds is not None else float("inf")

    async def client() -> None:
        connection = await connect(port)
        for request in pending:
            started = time.perf_counter()
            if started >= until:
                break
            body = await connection.ask(request)
            latencies.append(time.perf_counter() - started)
            answered(body)
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return latencies


def endless(requests: list[bytes]) -> Iterator[bytes]:
    """The requests over and over."""
    return itertools.cycle(requests)


def get(path: str) -> bytes:
    """A GET of the path."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def get_prediction(adaptation: str, given: str) -> bytes:
    """GET /predict for one input."""
    return get(f"/predict?adaptation={adaptation}&input={quote(given, safe='')}")


def post(path: str, body: bytes, media_type: str) -> bytes:
    """A POST that waits for the end of what it begins."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nPrefer: wait=60\r\n"
        f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def post_form(path: str, request: bytes, pictures: Iterable[tuple[str, bytes]]) -> bytes:
    """A POST of a form as curl sends it: the request's JSON and PNG files by their class."""
    parts = [
        b'Content-Disposition: form-data; name="request"\r\n'
        b"Content-Type: application/json\r\n\r\n" + request
    ]
    for number, (label, picture) in enumerate(pictures):
        head = (
            f'Content-Disposition: form-data; name="support[{label}]"; filename="{number}.png"\r\n'
            "Content-Type: image/png\r\n\r\n"
        )
        parts.append(head.encode() + picture)
    body = b"".join(b"--" + BOUNDARY + b"\r\n" + part + b"\r\n" for part in parts)
    media_type = f"multipart/form-data; boundary={BOUNDARY.decode()}"
    return post(path, body + b"--" + BOUNDARY + b"--\r\n", media_type)
