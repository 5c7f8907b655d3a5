"""Names to addresses, for as long as it may take and no longer: the system's resolver can hang for
half a minute, and nobody can stop it.
"""

import socket
import threading
from collections.abc import Sequence
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from typing import Final

from app.messages.webhooks.addresses import Address
from app.messages.webhooks.guard import Unresolved

WITHIN_S: Final = 3.0
AT_ONCE: Final = 16

_free = threading.BoundedSemaphore(AT_ONCE)  # look-ups that hang hold it until they end


def resolve(host: str, port: int) -> Sequence[Address]:
    """Every address of the name, each once. Raises Unresolved: there is none, or none in time."""
    if not _free.acquire(blocking=False):
        raise Unresolved
    found: SimpleQueue[Sequence[Address]] = SimpleQueue()
    threading.Thread(target=_look_up, args=(host, port, found), daemon=True).start()
    try:
        addresses = found.get(timeout=WITHIN_S)
    except Empty:
        raise Unresolved from None
    if not addresses:
        raise Unresolved
    return addresses


def _look_up(host: str, port: int, found: SimpleQueue[Sequence[Address]]) -> None:
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found.put(list(dict.fromkeys(ip_address(row[4][0]) for row in rows)))
    except (OSError, ValueError):  # ValueError: a name that IDNA cannot encode, a zone
        found.put([])
    finally:
        _free.release()
