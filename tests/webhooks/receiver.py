"""A receiver of webhooks on this machine that does what it is told, and keeps what it was sent."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Behave = Callable[[socket.socket], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request; headers by lower-case name."""

    line: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass(slots=True)
class Receiver:
    """Answers the n-th request as the n-th behaviour says, from the last one on always so."""

    port: int
    answers: Sequence[Behave]
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=1"

    def wait_for(self, count: int, *, within_s: float = 20) -> list[Received]:
        deadline = time.monotonic() + within_s
        while len(self.received) < count:
            assert time.monotonic() < deadline, f"{len(self.received)} of {count} requests"
            time.sleep(0.01)
        return self.received


def answering(status: int, *headers: str, body: bytes = b"ok") -> Behave:
    """An ordinary answer."""
    lines = [f"HTTP/1.1 {status} Word", f"Content-Length: {len(body)}", *headers, "", ""]

    def answer(connection: socket.socket) -> None:
        connection.sendall("\r\n".join(lines).encode() + body)

    return answer


def saying(data: bytes) -> Behave:
    """These bytes, and the end."""
    return lambda connection: connection.sendall(data)


def dripping(head: bytes = b"") -> Behave:
    """A byte now and then, for ever."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(200):
            connection.sendall(b"x")
            time.sleep(0.1)

    return drip


def flooding(head: bytes) -> Behave:
    """Bytes as fast as they are taken, for ever."""

    def flood(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b"x" * 65536)

    return flood


@contextmanager
def receiving(*answers: Behave, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        receiver = Receiver(listening.getsockname()[1], answers)
        threading.Thread(target=_serve, args=(listening, receiver, tls), daemon=True).start()
        yield receiver
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)


def _serve(listening: socket.socket, receiver: Receiver, tls: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            receiver.connections += 1
            threading.Thread(target=_answer, args=(connection, receiver, tls), daemon=True).start()


def _answer(connection: socket.socket, receiver: Receiver, tls: ssl.SSLContext | None) -> None:
    with suppress(OSError), connection:
        connection.settimeout(30)
        if tls is not None:
            connection = tls.wrap_socket(connection, server_side=True)
        number = len(receiver.received)
        receiver.received.append(_read(connection))
        receiver.answers[min(number, len(receiver.answers) - 1)](connection)
        connection.close()


def _read(connection: socket.socket) -> Received:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(4096)
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (one.partition(":") for one in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(4096)
    return Received(line=line, headers=headers, body=body, at=time.monotonic())
