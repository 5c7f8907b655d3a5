"""`fewstep serve`: everything that one machine needs, started in order and stopped in reverse.

The process of the API is the supervisor of the others: the embedded Valkey server and the worker.
"""

import errno
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Final

import typer

from app.cli.serving import valkey
from app.cli.serving.guard import die_with_parent
from app.cli.serving.readiness import announce_when_ready, base_url
from app.cli.serving.supervisor import CannotStart, Child, kept_running, sole_use
from app.cli.serving.worker import worker_command
from app.logs import set_up_logging
from app.settings import Settings, environment, load_settings
from worker.allocator import M_MMAP_THRESHOLD, tell_allocator

# Together below the 25 s in which a stop is promised.
REQUESTS_GRACE_S: Final = 8
WORKER_GRACE_S: Final = 10.0
VALKEY_GRACE_S: Final = 4.0
VALKEY_READY_WITHIN_S: Final = 30.0

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger(__name__)


class Stopped(BaseException):
    """Somebody asked the service to stop; not an Exception, so that nothing on its way takes it."""


def serve(
    api_only: bool = typer.Option(False, "--api-only", help="Start no worker here."),
    stop_with_parent: bool = typer.Option(
        False, "--stop-with-parent", hidden=True, help="Stop when the starting process ends."
    ),
) -> None:
    """Start the service in the foreground; Ctrl-C stops it.

    Without settings everything is embedded: SQLite, Valkey and one worker, under FEWSTEP_DATA_DIR.
    """
    settings = load_settings()
    set_up_logging(settings)
    if stop_with_parent:
        die_with_parent(signal.SIGTERM)
    with stoppable():
        try:
            run_service(settings, api_only=api_only)
        except (CannotStart, valkey.NoServer) as error:
            typer.echo(f"fewstep: {error}", err=True)
            raise typer.Exit(1) from None


def run_service(settings: Settings, *, api_only: bool) -> None:
    """Serves until stopped. Raises CannotStart and NoServer with what a person can mend."""
    if not api_only:
        _check_device(settings)
    with ExitStack() as running:
        listening = running.enter_context(_bind(settings.host, settings.port))
        if not api_only or settings.redis_url is None:
            running.enter_context(sole_use(settings.data_dir))
        settings = running.enter_context(_message_server(settings))
        _prepare(settings, listening.getsockname())
        if not api_only:
            settings = _threads_shared_out(settings)
            worker = Child(
                name="worker",
                command=worker_command(),
                environment=environment(settings),
                grace_s=WORKER_GRACE_S,
            )
            running.enter_context(kept_running(worker, data_dir=settings.data_dir))
        _serve_http(settings, listening)


def _check_device(settings: Settings) -> None:
    if settings.device in ("auto", "cpu"):
        return
    from worker.bench import choose_device

    try:
        choose_device(settings.device)
    except RuntimeError as error:
        raise CannotStart(str(error)) from None


@contextmanager
def stoppable() -> Iterator[None]:
    """Ends the block at the first SIGTERM or SIGINT; later ones do not disturb the stopping."""

    def stop(number: int, frame: FrameType | None) -> None:
        for known in SIGNALS:
            signal.signal(known, signal.SIG_IGN)
        raise Stopped

    for known in SIGNALS:
        signal.signal(known, stop)
    with suppress(Stopped):
        yield


def _bind(host: str, port: int) -> socket.socket:
    """The service's address, taken before anything is started; nobody is answered yet."""
    listening = None
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # asyncio sees to this only where the protocol is named; without it every answer on a kept
        # connection waits 44 ms for the client's delayed acknowledgement.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind(address)
    except OSError as error:
        if listening is not None:
            listening.close()
        hint = "; FEWSTEP_PORT chooses another" if error.errno == errno.EADDRINUSE else ""
        detail = f"cannot listen on {host} port {port}: {error.strerror}{hint}"
        raise CannotStart(detail) from error
    return listening


@contextmanager
def _message_server(settings: Settings) -> Iterator[Settings]:
    """The settings with a Redis in them: the given one, or an embedded server for the block."""
    if settings.redis_url is not None:
        yield settings
        return
    path = valkey.socket_path(settings.data_dir)
    command = valkey.server_command(
        valkey.find_server(), path=path, folder=settings.data_dir / "valkey"
    )
    server = Child(name="valkey", command=command, environment={}, grace_s=VALKEY_GRACE_S)
    try:
        with kept_running(server, data_dir=settings.data_dir):
            if not valkey.wait_until_answers(path, within_s=VALKEY_READY_WITHIN_S):
                raise CannotStart(f"the embedded Valkey fails; see {settings.data_dir}/valkey")
            yield settings.model_copy(update={"redis_url": valkey.redis_url(path)})
    finally:
        valkey.remove_socket(path)


def _prepare(settings: Settings, address: tuple[Any, ...]) -> None:
    from sqlalchemy.exc import OperationalError

    from app.cli.serving.setup import has_key, prepare
    from app.errors import ServiceError

    try:
        prepare(settings)
    except ValueError as error:
        raise CannotStart(str(error)) from None
    except (ServiceError, OperationalError):
        raise CannotStart("the database of FEWSTEP_DATABASE_URL does not answer") from None
    if not ipaddress.ip_address(address[0]).is_loopback and not has_key(settings):
        raise CannotStart(
            f"to listen on {settings.host}, beyond this machine, a key is needed: create one with"
            " `fewstep keys create`, or set FEWSTEP_BOOTSTRAP_KEY"
        )


def _threads_shared_out(settings: Settings) -> Settings:
    """One half of the cores each for the API's predictions and the worker, unless it was set."""
    if settings.torch_threads:
        return settings
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return settings.model_copy(update={"torch_threads": max(1, cores // 2)})


def _give_large_blocks_back() -> None:
    """Has glibc map blocks from 1 MB on by themselves, so that freed pictures leave the process.

    Six requests of small files with large pictures left it at 1.8 GB, now at 0.3 GB.
    """
    tell_allocator(M_MMAP_THRESHOLD, 2**20)


def _say_as_json(event: str) -> None:
    """On stdout, whatever level is logged: who starts the service waits for this line."""
    at = datetime.now(UTC).isoformat()
    typer.echo(json.dumps({"event": event, "level": "info", "logger": __name__, "timestamp": at}))


def _serve_http(settings: Settings, listening: socket.socket) -> None:
    import uvicorn

    from app.api.application import create_service
    from app.api.parser import Protocol
    from app.api.streams import Streams

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            streams.leave()  # who streams would go on until the grace is over
            await super().shutdown(sockets)

    _give_large_blocks_back()
    streams = Streams(settings.max_event_streams)
    config = uvicorn.Config(
        create_service(settings, streams),
        http=Protocol,  # whose limits and refusals are tested, whatever else is installed
        log_config=None,  # its lines come out through ours
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=REQUESTS_GRACE_S,
    )
    stopping = threading.Event()
    say = typer.echo if settings.log_format == "readable" else _say_as_json
    telling = (base_url(listening.getsockname()), stopping, say)
    threading.Thread(target=announce_when_ready, args=telling, daemon=True).start()
    try:
        Server(config).run(sockets=[listening])
    finally:
        stopping.set()
