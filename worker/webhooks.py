"""The dispatcher: what webhooks are owed is claimed, signed and sent, again and again until it is
taken or was tried often enough.

It runs in the worker's parent process, beside the sweeper: nothing that adapts waits for a
receiver. Any number of dispatchers may run. A message arrives at least once, always under the same
id: a dispatcher that is killed loses its claims, and another one sends them.
"""

import asyncio
import logging
import os
import random
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from app.adaptations.webhook_secrets import webhook_secret
from app.backends import Backends
from app.db import deliveries
from app.db.connections import reading, writing
from app.errors import ServiceError
from app.messages.webhooks.addresses import Address
from app.messages.webhooks.calling import Answered, NotAnswered, call, open_tls
from app.messages.webhooks.guard import (
    Resolve,
    Target,
    Unresolved,
    checked_addresses,
    read_target,
    rules_of,
)
from app.messages.webhooks.resolving import resolve
from app.values.delivery import Delivery, body_of
from app.values.lifecycle import Status
from app.values.signing import signature_headers

POLL_S: Final = 0.5
AT_ONCE: Final = 16
AT_ONCE_OF_A_TENANT: Final = 4
BESIDE_CALL_S: Final = 10.0  # of a lease: resolving, and turns at the database
LOST_EVERY_S: Final = 10.0
JITTER: Final = 0.2  # of a pause; or all that failed together would come again together
LONGEST_PAUSE_S: Final = 86_400
GONE: Final = 410

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """What a dispatcher works with; resolve and tls are others only in tests."""

    backends: Backends
    resolve: Resolve = resolve
    tls: ssl.SSLContext = field(default_factory=open_tls)
    name: str = field(default_factory=lambda: f"webhooks@{socket.gethostname()}:{os.getpid()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a delivery after an attempt; pause_s None: nothing more is tried."""

    status: Status
    pause_s: float | None = None
    answered: int | None = None
    error: str | None = None


def start_dispatcher(backends: Backends) -> threading.Event:
    """Sends from a thread until the event is set."""
    stop, dispatcher = threading.Event(), Dispatcher(backends=backends)

    def run() -> None:
        asyncio.run(dispatch(dispatcher, stop))

    threading.Thread(target=run, name="webhooks", daemon=True).start()
    return stop


async def dispatch(dispatcher: Dispatcher, stop: threading.Event) -> None:
    """Claims and sends until told to stop; what is under way then is given up, and sent again."""
    sending: dict[asyncio.Task[None], str] = {}
    looked_at = -LOST_EVERY_S
    while not stop.is_set():
        try:
            if time.monotonic() - looked_at >= LOST_EVERY_S:
                looked_at = time.monotonic()
                await asyncio.to_thread(_requeue_lost, dispatcher)
            taken = await asyncio.to_thread(_take, dispatcher, list(sending.values()))
        except (SQLAlchemyError, ServiceError) as error:
            log.warning("webhooks not looked for", extra={"error": type(error).__name__})
            taken = []
        for one in taken:
            sending[asyncio.create_task(_send(dispatcher, one))] = one.tenant_id
        if not taken:
            await _pause(sending)
        sending = {task: tenant for task, tenant in sending.items() if not task.done()}
    for task in sending:
        task.cancel()


def verdict_on(
    outcome: Answered | str,
    attempts: int,
    pauses_s: Sequence[int],
    jitter: Callable[[], float] = random.random,
) -> Verdict:
    """What an answer, or the reason that there was none, leads to after so many attempts."""
    answered = outcome.status if isinstance(outcome, Answered) else None
    error = outcome if isinstance(outcome, str) else None
    if answered is not None and 200 <= answered < 300:
        return Verdict(status=Status.SUCCEEDED, answered=answered)
    if answered == GONE or attempts > len(pauses_s):
        return Verdict(status=Status.FAILED, answered=answered, error=error)
    pause_s = pauses_s[attempts - 1] * (1 + JITTER * jitter())
    if isinstance(outcome, Answered) and outcome.retry_after_s is not None:
        pause_s = max(pause_s, min(outcome.retry_after_s, LONGEST_PAUSE_S))
    return Verdict(status=Status.QUEUED, pause_s=pause_s, answered=answered, error=error)


async def _pause(sending: dict[asyncio.Task[None], str]) -> None:
    if sending:
        await asyncio.wait(sending, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
    else:
        await asyncio.sleep(POLL_S)


def _take(dispatcher: Dispatcher, sending_for: Sequence[str]) -> list[Delivery]:
    """Deliveries that are due, claimed; an idle look takes no turn from who writes."""
    counts = Counter(sending_for)
    free = AT_ONCE - counts.total()
    if free <= 0:
        return []
    with reading(dispatcher.backends.engine) as connection:
        if not deliveries.is_due(connection):
            return []
    busy = [tenant for tenant, count in counts.items() if count >= AT_ONCE_OF_A_TENANT]
    most = max((count for tenant, count in counts.items() if tenant not in busy), default=0)
    with writing(dispatcher.backends.engine) as connection:
        return deliveries.claim(
            connection,
            worker=dispatcher.name,
            limit=min(free, AT_ONCE_OF_A_TENANT - most),
            lease_s=dispatcher.backends.settings.webhook_timeout_s + BESIDE_CALL_S,
            busy=busy,
        )


def _requeue_lost(dispatcher: Dispatcher) -> None:
    with writing(dispatcher.backends.engine) as connection:
        lost = deliveries.requeue_lost(connection)
    if lost:
        log.warning("webhooks recovered from lost dispatchers", extra={"count": lost})


async def _send(dispatcher: Dispatcher, held: Delivery) -> None:
    """One attempt, and what it leads to in the row."""
    pauses_s = [int(pause) for pause in dispatcher.backends.settings.webhook_retries_s.split(",")]
    fields = {"delivery_id": held.id, "adaptation_id": held.adaptation_id}
    try:
        outcome = await _attempt(dispatcher, held)
        verdict = verdict_on(outcome, held.attempts, pauses_s)
        await asyncio.to_thread(_write, dispatcher, held, verdict)
    except (SQLAlchemyError, ServiceError) as error:  # its lease runs out, and it is sent again
        log.warning("webhook left alone", extra={**fields, "error": type(error).__name__})
        return
    except Exception:  # whatever came: the dispatcher goes on with the others
        log.exception("webhook left alone", extra=fields)
        return
    said = {"status": verdict.status, "answered": verdict.answered, "reason": verdict.error}
    log.info("webhook sent", extra={**fields, **said, "attempts": held.attempts})


async def _attempt(dispatcher: Dispatcher, held: Delivery) -> Answered | str:
    """The receiver's answer, or why there was none."""
    settings = dispatcher.backends.settings
    try:
        target, addresses = await asyncio.to_thread(_checked, dispatcher, held.url)
    except Unresolved:
        return "its name has no address"
    except ServiceError:
        return "it leads to an address that must not be called"
    body = body_of(held.payload)
    secret = await asyncio.to_thread(webhook_secret, dispatcher.backends, held.tenant_id)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Fewstep/{version('fewstep')}",
        **signature_headers(held.id, int(time.time()), body, secret.signing),
    }
    try:
        return await call(
            target,
            addresses,
            headers=headers,
            body=body,
            tls=dispatcher.tls,
            timeout_s=settings.webhook_timeout_s,
        )
    except NotAnswered as none:
        return none.reason


def _checked(dispatcher: Dispatcher, url: str) -> tuple[Target, Sequence[Address]]:
    rules = rules_of(dispatcher.backends.settings)
    target = read_target(url, rules)
    return target, checked_addresses(target, rules, dispatcher.resolve)


def _write(dispatcher: Dispatcher, held: Delivery, verdict: Verdict) -> None:
    answered, error, pause_s = verdict.answered, verdict.error, verdict.pause_s
    with writing(dispatcher.backends.engine) as connection:
        if pause_s is None:
            deliveries.end(connection, held, verdict.status, answered=answered, error=error)
        else:
            deliveries.try_again(connection, held, pause_s=pause_s, answered=answered, error=error)
