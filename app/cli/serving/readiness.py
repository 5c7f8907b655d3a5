"""Says where the service answers as soon as it does, and what it lacks if that takes long."""

import http.client
import ipaddress
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

POLL_S: Final = 0.1
EXPLAINED_AFTER_S: Final = 15.0

log = logging.getLogger(__name__)


def base_url(address: tuple[Any, ...]) -> str:
    """Where a person on this machine reaches a socket bound to the address."""
    host, port = address[:2]
    found = ipaddress.ip_address(host)
    if found.is_unspecified:
        found = ipaddress.ip_address("127.0.0.1" if found.version == 4 else "::1")
    return f"http://{found}:{port}" if found.version == 4 else f"http://[{found}]:{port}"


def announce_when_ready(url: str, stopping: threading.Event, say: Callable[[str], object]) -> None:
    """Says the address once /readyz gives 200; returns then, or when the service stops."""
    explained_at = time.monotonic() + EXPLAINED_AFTER_S
    while not stopping.wait(POLL_S):
        missing = _missing(url)
        if missing is None:
            say(f"Fewstep answers at {url}")
            return
        if time.monotonic() > explained_at:
            log.warning("not ready yet", extra={"missing": missing})
            explained_at += 4 * EXPLAINED_AFTER_S


def _missing(url: str) -> str | None:
    """None when the service is ready, else what it says it lacks."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException):
        return "it does not answer"
    finally:
        connection.close()
    return None if answer.status == 200 else _detail(body)


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return "no reason given"
