"""The Celery application that ``celery -A worker.application worker`` runs: thin tasks and signals.

The parent process imports no torch: its children are spawned, and only they do.
"""

import logging
import os
import threading
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.utils.log import get_multiprocessing_logger
from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import clear_contextvars

from app.backends import open_backends
from app.db.connections import writing
from app.db.workers import announce, withdraw
from app.errors import ServiceError
from app.logs import set_up_logging
from app.messages.hints import ADAPT_TASK, REPAIR_TASK, build_celery
from app.observing.sharing import Sharing
from app.observing.tracing import end_tracing, start_tracing
from app.settings import load_settings
from worker.measuring import start_measuring
from worker.sweeper import start_sweeper
from worker.webhooks import start_dispatcher

if TYPE_CHECKING:
    from worker.bench import Bench

log = logging.getLogger(__name__)
settings = load_settings()
app = build_celery(settings)
_bench: list["Bench"] = []  # the one bench of this process, from worker_process_init on
_stop_sweeping: list[threading.Event] = []
_alive: list[threading.Thread] = []
_leaving = threading.Event()
_told = ExitStack()  # what this process counted, when it ends


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _log(**_: Any) -> None:
    """In the parent and in each child, before anything works; Celery sets up nothing of its own."""
    set_up_logging(settings)
    pool = get_multiprocessing_logger()  # it speaks only where it was asked for, and to nobody
    pool.handlers.clear()
    pool.propagate = True


@signals.task_prerun.connect  # type: ignore[untyped-decorator]
def _forget_what_lines_were_about(**_: Any) -> None:
    """Now, and not when a task ends: Celery logs what it raised only after that."""
    clear_contextvars()


@app.task(name=ADAPT_TASK)  # type: ignore[untyped-decorator]
def adapt(adaptation_id: str) -> None:
    """A hint: this adaptation waits, and maybe its like."""
    from worker.batch import run_hint

    run_hint(_bench[0], adaptation_id)


@app.task(name=REPAIR_TASK)  # type: ignore[untyped-decorator]
def repair(adaptation_id: str) -> None:
    """This adaptation's parameters failed their check."""
    from worker.repairing import repair as derive_again

    derive_again(_bench[0], adaptation_id)


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _sweep(**_: Any) -> None:
    backends = open_backends(settings)
    _stop_sweeping.extend([start_sweeper(backends), start_dispatcher(backends)])
    start_measuring(backends, _stop_sweeping[0])
    _count()


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stop_sweeper(**_: Any) -> None:
    for stop in _stop_sweeping:
        stop.set()


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
def _tell_the_rest(**_: Any) -> None:
    """Not when the shutting down begins: that is told inside a signal handler."""
    _told.close()


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _sit_down(**_: Any) -> None:
    try:
        _bench.append(_open_warm_bench())
    except Exception:  # a child that cannot work must not take hints; Celery starts another
        log.exception("worker cannot start")
        os._exit(1)
    start_tracing()
    _count()
    _alive.append(threading.Thread(target=partial(_live, _bench[0]), name="alive", daemon=True))
    _alive[0].start()


def _count() -> None:
    """Has every process know what this one counts; parent and child count each its own."""
    _told.enter_context(Sharing(str(settings.redis_url)).flushing())


def _open_warm_bench() -> "Bench":
    from worker.bench import open_bench
    from worker.warming import warm_up

    bench = open_bench(settings)
    warm_up(bench)
    return bench


@signals.worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _stand_up(**_: Any) -> None:
    _leaving.set()
    for thread in _alive:
        thread.join(timeout=settings.heartbeat_s)  # or it would announce what is withdrawn
    for bench in _bench:
        with writing(bench.backends.engine) as connection:
            withdraw(connection, bench.name)
    end_tracing()
    _told.close()


def _live(bench: "Bench") -> None:
    """Says every other second that this process lives."""
    while not _leaving.is_set():
        try:
            with writing(bench.backends.engine) as connection:
                announce(connection, bench.name, host=bench.host, device=bench.device.type)
        except (SQLAlchemyError, ServiceError) as error:
            fields = {"worker": bench.name, "error": type(error).__name__}
            log.warning("not announced", extra=fields)
        _leaving.wait(settings.heartbeat_s)
