import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import Message

from app.api.body import read_body, require_media_type
from app.api.problems import install
from app.api.unread import drained
from app.errors import ServiceError
from tests.border.refusals import refused
from tests.border.serving import served

LIMIT = 100_000
Headers = list[tuple[bytes, bytes]]


def request_of(headers: Headers, chunks: AsyncIterator[Message] | None = None) -> Request:
    """A request that was announced so; asking for a body that nobody sends fails the test."""

    async def receive() -> Message:
        assert chunks is not None, "the body was read"
        return await anext(chunks)

    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


async def sent(*chunks: bytes, pause_s: float = 0) -> AsyncIterator[Message]:
    for index, chunk in enumerate(chunks):
        await asyncio.sleep(pause_s)
        more = index + 1 < len(chunks)
        yield {"type": "http.request", "body": chunk, "more_body": more}


async def cut_off() -> AsyncIterator[Message]:
    yield {"type": "http.request", "body": b"{", "more_body": True}
    yield {"type": "http.disconnect"}


def read(request: Request, timeout_s: float = 5) -> bytes:
    return asyncio.run(read_body(request, limit_bytes=LIMIT, timeout_s=timeout_s))


@pytest.mark.parametrize("headers", [[], [(b"content-length", str(LIMIT).encode())]])
def test_a_body_of_just_the_limit_is_read(headers: Headers) -> None:
    body = bytes(LIMIT)

    assert read(request_of(headers, sent(body[:7], b"", body[7:]))) == body


@pytest.mark.parametrize("length", [b"100001", b"2147483648", b"9" * 5000])
def test_a_body_that_says_it_is_too_large_is_refused_unread(length: bytes) -> None:
    with refused("payload-too-large"):
        read(request_of([(b"content-length", length)]))


def test_a_body_that_grows_too_large_is_cut_there() -> None:
    taken = 0

    async def endless() -> AsyncIterator[Message]:
        nonlocal taken
        while True:
            taken += 65536
            yield {"type": "http.request", "body": bytes(65536), "more_body": True}

    with refused("payload-too-large"):
        read(request_of([(b"transfer-encoding", b"chunked")], endless()))
    assert taken == 2 * 65536


def test_a_slow_body_is_refused_when_its_time_is_over() -> None:
    start = time.monotonic()
    with refused("bad-request"):
        read(request_of([], sent(*[b" "] * 100, pause_s=0.1)), timeout_s=0.3)

    assert time.monotonic() - start < 2


def test_a_body_that_breaks_off_is_refused() -> None:
    with refused("bad-request"):
        read(request_of([], cut_off()))


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"", b"\xb2"])
def test_a_length_is_digits(length: bytes) -> None:
    with refused("bad-request"):
        read(request_of([(b"content-length", length)]))


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"br", b"identity, gzip", b"x"])
def test_a_compressed_body_is_refused_unread(encoding: bytes) -> None:
    with refused("unsupported-media-type"):
        read(request_of([(b"content-encoding", encoding)]))


def test_identity_is_no_compression() -> None:
    assert read(request_of([(b"content-encoding", b"Identity")], sent(b"{}"))) == b"{}"


@pytest.mark.parametrize("charset", [b"", b"; charset=utf-8", b'; Charset="UTF-8"', b";"])
def test_json_in_utf_8_is_a_type_that_is_taken(charset: bytes) -> None:
    request = request_of([(b"content-type", b"Application/JSON" + charset)])

    assert require_media_type(request, "application/json", "multipart/form-data") == (
        "application/json"
    )


@pytest.mark.parametrize(
    "types",
    [
        [],
        [b"text/plain"],
        [b"application/x-python-pickle"],
        [b"application/json; charset=utf-16"],
        [b"application/json; charset"],
        [b"application/json", b"application/json"],
        [b""],
    ],
)
def test_another_type_is_refused(types: list[bytes]) -> None:
    with refused("unsupported-media-type"):
        require_media_type(request_of([(b"content-type", t) for t in types]), "application/json")


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """A real server with a route that reads its body, and one that refuses what it has read."""
    app = FastAPI()
    install(app)

    @app.post("/read")
    async def read_it(request: Request) -> int:
        return len(await read_body(request, limit_bytes=LIMIT, timeout_s=0.5))

    @app.post("/refuse")
    async def refuse_it(request: Request) -> None:
        await read_body(request, limit_bytes=LIMIT, timeout_s=0.5)
        raise ServiceError("validation", "expected a, got b")

    with served(drained(app, limit_bytes=10 * LIMIT, limit_s=2)) as listening:
        yield listening


def exchange(address: tuple[str, int], *pieces: bytes) -> bytes:
    """All that the server sends until it closes the connection, which it must within 5 s."""
    with socket.create_connection(address, timeout=5) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 2147483648\r\n\r\n", b"413"),
        (b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{", b"400"),
        (b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n", b"404"),
        (b"BREW /read HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n", b"405"),
    ],
)
def test_a_refusal_of_an_unread_body_closes_the_connection(
    address: tuple[str, int], head: bytes, status: bytes
) -> None:
    answer = exchange(address, head)

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nconnection: close\r\n" in answer.lower()


def test_a_body_that_is_too_large_is_told_how_large_it_may_be() -> None:
    over = str(17 * 2**20 + 1).encode()

    with pytest.raises(ServiceError) as caught:
        asyncio.run(
            read_body(request_of([(b"content-length", over)]), limit_bytes=16 << 20, timeout_s=1)
        )

    assert caught.value.detail == (
        "expected at most 16 MiB, got 17.1 MiB; pictures are shrunk to the checkpoint's input "
        "anyway, such as 28 x 28: send smaller ones"
    )


def test_chunks_without_end_are_answered_at_the_limit(address: tuple[str, int]) -> None:
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"c000\r\n" + bytes(0xC000) + b"\r\n"

    assert exchange(address, head, chunk, chunk, chunk).startswith(b"HTTP/1.1 413")


def test_a_refusal_of_a_body_that_was_read_leaves_the_connection_open(
    address: tuple[str, int],
) -> None:
    one = b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    last = b"POST /refuse HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"

    assert exchange(address, one, last).count(b"HTTP/1.1 422") == 2
