"""One request as a stranger would send it, whatever its bytes, and the answer to it."""

import json
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

Json = dict[str, Any]
HeaderValue = str | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; closed: the server ended the connection after it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    closed: bool = False

    @property
    def json(self) -> Json:
        found: Json = json.loads(self.body)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request over HTTP; chunks in place of a body go out by hand until an answer comes.

    pointer: where the refusal must point to; hidden: what it must not show.
    """

    method: str = "POST"
    path: str = "/adapt"
    headers: Sequence[tuple[str, HeaderValue]] = ()
    body: bytes = b""
    chunks: Callable[[], Iterable[bytes]] | None = None
    pointer: str | None = None
    hidden: Sequence[str] = ()


def post(
    body: Any,
    *headers: tuple[str, HeaderValue],
    path: str = "/adapt",
    pointer: str | None = None,
    hidden: Sequence[str] = (),
) -> Call:
    """A JSON body, or bytes that pretend to be one."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = [] if any(name == "Content-Type" for name, _ in headers) else [JSON_BODY]
    return Call(path=path, headers=[*kind, *headers], body=data, pointer=pointer, hidden=hidden)


def get(path: str, *headers: tuple[str, HeaderValue], hidden: Sequence[str] = ()) -> Call:
    return Call(method="GET", path=path, headers=headers, hidden=hidden)


def predict(*, hidden: Sequence[str] = (), **parameters: str | Sequence[str]) -> Call:
    """GET /predict with these query parameters, percent-encoded."""
    pairs = [
        f"{name}={quote(value, safe='')}"
        for name, values in parameters.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return get(f"/predict?{'&'.join(pairs)}", hidden=hidden)


JSON_BODY = ("Content-Type", "application/json")


def send(client: httpx.Client, call: Call) -> Answer:
    """The answer to a call."""
    if call.chunks is not None:
        return send_by_hand(client.base_url.host, client.base_url.port or 80, call)
    sent = client.request(
        call.method, call.path, headers=list(call.headers), content=call.body or None
    )
    return Answer(status=sent.status_code, headers=sent.headers, body=sent.content)


def send_by_hand(host: str, port: int, call: Call) -> Answer:
    """Head and chunks over a socket; stops sending as soon as the server answers."""
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(_head(call, f"{host}:{port}"))
        with suppress(BrokenPipeError, ConnectionResetError):
            for chunk in call.chunks() if call.chunks else ():
                connection.sendall(chunk)
                if _has_answer(connection):
                    break
        return _received(connection)


def form(parts: Iterable[tuple[str, bytes]], *, boundary: str = "edge") -> bytes:
    """multipart/form-data of whole parts, each a head without its CRLFs and a content."""
    return (
        b"".join(_part(head, data, boundary) for head, data in parts) + f"--{boundary}--".encode()
    )


def form_type(boundary: str = "edge") -> tuple[str, str]:
    return "Content-Type", f"multipart/form-data; boundary={boundary}"


def field(name: str, content: bytes, extra: str = "") -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="{name}"{extra}', content


def file(name: str, content: bytes, filename: str = "a.png") -> tuple[str, bytes]:
    return field(name, content, f'; filename="{filename}"\r\nContent-Type: image/png')


def _part(head: str, data: bytes, boundary: str) -> bytes:
    return f"--{boundary}\r\n{head}\r\n\r\n".encode() + data + b"\r\n"


def _head(call: Call, host: str) -> bytes:
    lines = [f"{call.method} {call.path} HTTP/1.1".encode()]
    if not any(name == "Host" for name, _ in call.headers):
        lines.append(f"Host: {host}".encode())
    for name, value in call.headers:
        lines.append(
            name.encode() + b": " + (value if isinstance(value, bytes) else value.encode())
        )
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _has_answer(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(10)


def _received(connection: socket.socket) -> Answer:
    with HTTPResponse(connection) as response:
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        body = response.read()
    closed = headers.get("connection", "").lower() == "close" and _is_at_end(connection)
    return Answer(status=response.status, headers=headers, body=body, closed=closed)


def _is_at_end(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def origin(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 80)


def repeated(chunk: bytes, times: int) -> Callable[[], Iterator[bytes]]:
    """A chunked body of so many equal chunks."""
    framed = f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n"
    return lambda: (framed for _ in range(times))
