"""One of all workers looks through the store now and then: how much lies in it."""

import logging
import threading

from app.backends import Backends
from app.observing.stored import LOOK_EVERY_S, takes_turn, tell_stored
from app.store import StoreUnavailable
from app.store.measuring import measure

log = logging.getLogger(__name__)


def start_measuring(backends: Backends, stop: threading.Event) -> None:
    """Looks from a thread until the event is set."""
    arguments = (backends, stop)
    threading.Thread(target=_look_until, args=arguments, name="measuring", daemon=True).start()


def look(backends: Backends) -> None:
    """Looks through the store, where it is this process's turn."""
    if not takes_turn(backends.queue.redis):
        return
    try:
        stored = measure(backends.settings.effective_store_url)
    except StoreUnavailable as error:
        log.warning("store not looked through", extra={"error": str(error)})
        return
    tell_stored(backends.queue.redis, stored)


def _look_until(backends: Backends, stop: threading.Event) -> None:
    look(backends)
    while not stop.wait(LOOK_EVERY_S):
        look(backends)
