"""Messages: a hint that an adaptation waits, carried by Celery. The row is the truth.

Celery acknowledges early, never redelivers and keeps no results; the lease and the sweeper do that
work. Hints are coalesced: while one is under way, a busy worker needs no second.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

from app.settings import Settings

ADAPT_TASK, REPAIR_TASK = "fewstep.adapt", "fewstep.repair"
QUEUE = "adapt"
PENDING = "fewstep:hint-pending"
REPAIRING, REPAIR_EVERY_S = "fewstep:repairing:", 5
PENDING_S = 2  # a lost hint delays the next one by no more

# A broker that is away is no reason to keep a caller waiting: kombu would try for two seconds.
ONE_TRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Where hints go: the Celery application and the Redis that coalesces them."""

    celery: Celery
    redis: "Redis"

    def hint(self, adaptation_id: str) -> bool:
        """Tells the workers that this adaptation waits, unless they are being told already.

        Never raises for a broker that is away: the sweeper hints again. False where nothing was
        sent.
        """
        if not self._first_since_taken():
            return False
        sent = self._send(ADAPT_TASK, adaptation_id)
        if not sent:
            self.taken()
        return sent

    def taken(self) -> None:
        """A worker looks now: rows committed from here on need a hint of their own."""
        try:
            self.redis.delete(PENDING)
        except RedisError as error:
            log.warning("hint not marked as taken", extra={"error": type(error).__name__})

    def repair(self, adaptation_id: str) -> bool:
        """Asks a worker to derive an adaptation's parameters again; once in a while is enough."""
        try:
            if not self.redis.set(f"{REPAIRING}{adaptation_id}", 1, nx=True, ex=REPAIR_EVERY_S):
                return False
        except RedisError as error:
            log.warning("repairs not coalesced", extra={"error": type(error).__name__})
        sent = self._send(REPAIR_TASK, adaptation_id)
        if not sent:
            with suppress(RedisError):
                self.redis.delete(f"{REPAIRING}{adaptation_id}")
        return sent

    def try_out(self) -> None:
        """Sends a hint that means no row: connections are made and a worker has looked once before
        anybody waits for that. A message is a hint, so this one finds nothing, or what waits.
        """
        self._send(ADAPT_TASK, "")

    def is_up(self) -> bool:
        """Whether the broker and Redis answer now."""
        try:
            self.redis.ping()
            with self.celery.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=1)
        except (RedisError, OperationalError, OSError):
            return False
        return True

    def _first_since_taken(self) -> bool:
        try:
            return bool(self.redis.set(PENDING, 1, nx=True, ex=PENDING_S))
        except RedisError:
            return True

    def _send(self, task: str, adaptation_id: str) -> bool:
        try:
            self.celery.send_task(task, args=(adaptation_id,), queue=QUEUE, retry=False)
        except (OperationalError, OSError, RedisError) as error:
            fields = {"adaptation_id": adaptation_id, "error": type(error).__name__}
            log.warning("hint not sent", extra=fields)
            return False
        return True


def open_queue(settings: Settings) -> Queue:
    """The queue that the settings name; connects when it is first used. Needs a redis_url."""
    celery = build_celery(settings)
    celery.conf.broker_transport_options |= ONE_TRY
    return Queue(celery=celery, redis=open_redis(settings))


def open_redis(settings: Settings) -> "Redis":
    """A client of the Redis that carries wake-ups."""
    return Redis.from_url(str(settings.redis_url), socket_timeout=2, socket_connect_timeout=1)


def build_celery(settings: Settings) -> Celery:
    """The Celery application for sending and for working."""
    app = Celery(
        "fewstep", broker=kombu_url(str(settings.effective_broker_url)), set_as_current=False
    )
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=False,
        task_default_queue=QUEUE,
        task_create_missing_queues=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        # A busy worker must not reserve a hint that an idle one could take (Redis only).
        worker_disable_prefetch=not str(settings.effective_broker_url).startswith("amqp"),
        worker_pool_start_method="spawn",
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_proc_alive_timeout=60,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=2,
        broker_transport_options=_transport_options(str(settings.effective_broker_url)),
    )
    return app


def kombu_url(url: str) -> str:
    """``unix:///path?db=N``, as redis-py writes it, in Celery's words; other URLs as they are."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.path}?virtual_host={database}"


def _transport_options(url: str) -> dict[str, Any]:
    if url.startswith("amqp"):
        return {}
    return {"socket_timeout": 5, "socket_connect_timeout": 1}
