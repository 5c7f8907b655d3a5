"""A refusal is read by whoever sent too much, and nobody sends for ever."""

import asyncio
import socket
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import Message

from app.api.body import read_body
from app.api.problems import install
from app.api.unread import drained
from tests.border.clients import CLIENTS, Client
from tests.border.serving import served

LIMIT, DRAINED = 2**20, 32 * 2**20  # the kernel takes some 6 MB without anybody reading
TOO_LARGE = 17 * 2**20
Messages = list[Message]


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    app = FastAPI()
    install(app)

    @app.post("/read")
    async def read_it(request: Request) -> int:
        return len(await read_body(request, limit_bytes=LIMIT, timeout_s=20))

    @app.post("/breaks")
    async def break_it(request: Request) -> None:
        raise RuntimeError("a mistake")

    with served(drained(app, limit_bytes=DRAINED, limit_s=20)) as listening:
        yield listening


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("large") / "photos.bin"
    file.write_bytes(bytes(TOO_LARGE))
    return file


def url(address: tuple[str, int], path: str) -> str:
    return f"http://{address[0]}:{address[1]}{path}"


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_every_client_reads_that_its_body_is_too_large(
    address: tuple[str, int], large: Path, client: Client, chunked: bool
) -> None:
    status, detail = client(url(address, "/read"), large, chunked)

    got = "more" if chunked else "17 MiB"
    assert status == 413
    assert detail.startswith(f"expected at most 1 MiB, got {got}; pictures are shrunk to")


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/breaks", 500)])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_every_client_reads_whatever_refuses_a_body_unread(
    address: tuple[str, int], large: Path, client: Client, path: str, status: int
) -> None:
    assert client(url(address, path), large, False)[0] == status


def test_who_sends_for_ever_is_cut_off(address: tuple[str, int]) -> None:
    sent = 0
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            while sent < 16 * DRAINED:
                connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
                sent += 65536

    assert LIMIT + DRAINED <= sent < 2 * (LIMIT + DRAINED)  # the kernel's buffers are the rest


def test_who_asks_before_sending_is_answered_at_once(address: tuple[str, int]) -> None:
    """No 100 Continue comes before the refusal, or the body would be sent for nothing."""
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 17000000\r\nExpect: 100-continue"
    start = time.monotonic()
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(head + b"\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"\r\nconnection: close\r\n" in answer
    assert time.monotonic() - start < 1


async def refused_while(messages: "Iterator[Message]", *, pause_s: float = 0) -> Messages:
    """What an application sends that refuses at once, whose client goes on like this."""
    sent: Messages = []

    async def refuse(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]

    async def receive() -> Message:
        await asyncio.sleep(pause_s)
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(b"transfer-encoding", b"chunked")]}
    await drained(refuse, limit_bytes=DRAINED, limit_s=0.5)(scope, receive, send)
    return sent


def for_ever(size: int) -> Iterator[Message]:
    while True:
        yield {"type": "http.request", "body": bytes(size), "more_body": True}


def test_a_slow_sender_is_answered_when_the_time_is_over() -> None:
    start = time.monotonic()
    sent = asyncio.run(refused_while(for_ever(1), pause_s=0.05))

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["headers"] == [(b"connection", b"close")]
    assert time.monotonic() - start < 2


def test_what_is_dropped_takes_no_memory() -> None:
    tracemalloc.start()
    asyncio.run(refused_while(for_ever(65536)))

    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
