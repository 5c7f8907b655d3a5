"""Warming up before a process says that it is ready, which never keeps it from its work.

What a step does is up to the process; here is only how long it is waited for. No torch.
"""

import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, wait
from typing import Final

WARM_WITHIN_S: Final = (
    20.0  # Celery kills a child that has not started within 60 s, imports included
)

log = logging.getLogger(__name__)


def warm_within(within_s: float, steps: Iterable[None]) -> bool:
    """Takes one step after the other; whether all were taken within so many seconds.

    They are taken in a thread of their own, which ends with the step at which the time is over.
    Nobody waits for that one, so steps must change nothing that the work to come relies on. Raises
    what a step raised in time.
    """
    ended: Future[bool] = Future()
    ends_at = time.monotonic() + within_s
    taking = threading.Thread(
        target=_take, args=(steps, ends_at, ended), name="warming", daemon=True
    )
    taking.start()
    wait([ended], within_s)
    if ended.done() and ended.result():
        return True
    log.warning("warming stopped", extra={"seconds": within_s})
    return False


def _take(steps: Iterable[None], ends_at: float, ended: "Future[bool]") -> None:
    try:
        for _ in steps:
            if time.monotonic() >= ends_at:
                ended.set_result(False)
                return
    except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
        if time.monotonic() >= ends_at:  # which waits no more
            log.warning("warming failed", extra={"error": type(error).__name__})
        ended.set_exception(error)
    else:
        ended.set_result(True)
