"""A client of Server-Sent Events over a bare socket, that can be cut at any byte."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]


@dataclass(slots=True)
class Source:
    """What came of a stream. text: what is not a whole event yet."""

    status: int
    headers: dict[str, str]
    connection: socket.socket
    body: http.client.HTTPResponse
    text: str = ""
    events: list[dict[str, str]] = field(default_factory=list)
    comments: int = 0
    retry_ms: int = 0

    def read(self, most: int = 65536) -> bool:
        """Takes what comes next, up to so many bytes; False at the end."""
        data = self.body.read1(most)
        self.text += data.decode()
        while "\n\n" in self.text:
            block, self.text = self.text.split("\n\n", 1)
            self._take(block)
        return bool(data)

    def read_all(self) -> list[dict[str, str]]:
        while self.read():
            pass
        return self.events

    def _take(self, block: str) -> None:
        found: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            found[name] = value.removeprefix(" ")
        self.comments += "" in found
        self.retry_ms = int(found.get("retry", self.retry_ms))
        if "data" in found:
            self.events.append(found)


@contextmanager
def opened(
    base_url: str, adaptation_id: str, *, last_id: str | None = None, timeout_s: float = 30
) -> Iterator[Source]:
    """A stream, as an EventSource asks for it."""
    parts = urlsplit(base_url)
    with socket.create_connection((str(parts.hostname), parts.port or 80), timeout_s) as connection:
        lines = [f"GET /adaptations/{adaptation_id}/events HTTP/1.1", f"Host: {parts.netloc}"]
        lines += ["Accept: text/event-stream", "Cache-Control: no-cache"]
        lines += [] if last_id is None else [f"Last-Event-ID: {last_id}"]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        with http.client.HTTPResponse(connection) as body:
            body.begin()
            headers = {name.lower(): value for name, value in body.getheaders()}
            yield Source(body.status, headers, connection, body)
