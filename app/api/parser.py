"""The server's HTTP parser, whose own refusals are problems like any other."""

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.api.door import header_lines
from app.api.problems import problem_response
from app.errors import ServiceError


class Protocol(H11Protocol):
    """uvicorn's, but for what it says to what is no HTTP."""

    def send_400_response(self, msg: str) -> None:
        answer = problem_response(ServiceError("bad-request", "expected HTTP/1.1, got other bytes"))
        headers = [
            *(pair for pair in answer.raw_headers if pair[0] != b"cache-control"),
            *header_lines(),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=answer.status_code, headers=_each_once(headers)),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
        self.transport.close()


def _each_once(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return list(dict(headers).items())
