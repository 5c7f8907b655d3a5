"""One call of a webhook: to an address that was checked, and nowhere else.

The name is not resolved again; TLS is verified against the name; no redirect is followed; no proxy
of the environment is used; time and bytes are limited, whatever the receiver does.
"""

import asyncio
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import h11

from app.messages.webhooks.addresses import Address
from app.messages.webhooks.guard import PORTS, Target

MOST_BYTES: Final = 64 * 1024
CHUNK: Final = 4096
ENDS: Final = (h11.EndOfMessage, h11.ConnectionClosed)


class NotAnswered(Exception):
    """There was no answer, and why, in words that may be shown to the webhook's owner."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The status of an answer, and how long the receiver wants to be left alone."""

    status: int
    retry_after_s: int | None = None


def open_tls() -> ssl.SSLContext:
    """Certificates are verified against those that this machine trusts."""
    return ssl.create_default_context()


async def call(
    target: Target,
    addresses: Sequence[Address],
    *,
    headers: Mapping[str, str],
    body: bytes,
    tls: ssl.SSLContext,
    timeout_s: float,
) -> Answered:
    """The answer to a POST of these bytes, all of it within the time. Raises NotAnswered."""
    told: list[Answered] = []
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await _connect(target, addresses, tls)
            try:
                connection = h11.Connection(h11.CLIENT)
                writer.write(_request(connection, target, headers, body))
                await writer.drain()
                await _read(connection, reader, told)
            finally:
                writer.transport.abort()  # nobody waits for a farewell
    except TimeoutError:
        if not told:
            raise NotAnswered(f"no answer within {timeout_s:g} s") from None
    except (OSError, h11.RemoteProtocolError, EOFError) as error:
        if not told:
            raise NotAnswered(_in_words(error)) from None
    return told[0]


async def _connect(
    target: Target, addresses: Sequence[Address], tls: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the first of the addresses that takes one. Raises OSError."""
    name = target.host.removesuffix(".") if target.is_tls else None
    last: OSError | None = None
    for address in addresses:
        try:
            return await asyncio.open_connection(
                str(address), target.port, ssl=tls if target.is_tls else None, server_hostname=name
            )
        except ssl.SSLError:
            raise
        except OSError as error:
            last = error
    raise last or OSError("no address")


def _request(
    connection: h11.Connection, target: Target, headers: Mapping[str, str], body: bytes
) -> bytes:
    own = {"Host": _authority(target), "Content-Length": str(len(body)), "Connection": "close"}
    request = h11.Request(
        method="POST", target=target.path, headers=list((own | dict(headers)).items())
    )
    return b"".join(
        connection.send(part) or b"" for part in (request, h11.Data(data=body), h11.EndOfMessage())
    )


async def _read(
    connection: h11.Connection, reader: asyncio.StreamReader, told: list[Answered]
) -> None:
    """Puts the answer into the list as soon as its status is known; reads on to its end, for who
    is cut off while he answers may take it for a failure, but not without end.
    """
    left = MOST_BYTES
    while left > 0:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(CHUNK)
            left -= len(data)
            connection.receive_data(data)
        elif isinstance(event, h11.Response):
            told.append(_answered(event))
        elif isinstance(event, ENDS) or event is h11.PAUSED:
            break
    if not told:
        raise EOFError


def _answered(response: h11.Response) -> Answered:
    asked = dict(response.headers).get(b"retry-after", b"")
    seconds = int(asked) if re.fullmatch(rb"[0-9]{1,9}", asked) else None
    return Answered(status=response.status_code, retry_after_s=seconds)


def _authority(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    usual = target.port == PORTS["https" if target.is_tls else "http"]
    return host if usual else f"{host}:{target.port}"


def _in_words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not valid for this name"
    if isinstance(error, ssl.SSLError):
        return "no TLS connection could be made"
    if isinstance(error, h11.RemoteProtocolError | EOFError):
        return "the answer was not HTTP/1.1"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    return "no connection could be made"
