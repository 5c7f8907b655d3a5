"""One process's counts, added to those of all processes in Redis.

Every second what was counted since goes into one hash, so that whichever API process is asked knows
all, and nothing that a process told is lost when it ends. Redis away: the counts wait here, and
the work goes on. What was sent is told by a mark in the same transaction, so that a flush whose
answer was lost is not sent twice.
"""

import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, TypeAlias

from prometheus_client import CollectorRegistry
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.observing.metrics import COUNTED

FLUSH_S: Final = 1.0
ENDED_WITHIN_S: Final = 5.0  # a Redis that hangs holds nobody up for longer
KEPT_S: Final = 30 * 86_400  # of a release that nobody runs any more
MARK_S: Final = 86_400

# A sample's name and its labels, sorted by name.
Sample: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
Counts: TypeAlias = dict[Sample, float]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The counts of all processes; with Redis away the last that were known, and our own since."""

    counts: Counts
    redis_up: bool


class Sharing:
    """Sends one process's counts, and reads those of all. Safe to use from several threads."""

    def __init__(self, redis_url: str, registry: CollectorRegistry = COUNTED) -> None:
        # Without the client's own second try: it would count twice what was counted once.
        self._redis = Redis.from_url(
            redis_url, socket_timeout=2, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)
        )
        self._registry = registry
        # Of another release names, labels and buckets may differ: its counts cannot be added to.
        self._key = f"fewstep:metrics:{version('fewstep')}"
        self._mark = f"{self._key}:sent:{os.urandom(8).hex()}"
        self._turn = threading.Lock()
        self._sent = Counts()
        self._unsure: tuple[int, Counts] | None = None
        self._number = 0
        self._known = Counts()
        self._was_up = True

    def flush(self) -> bool:
        """Sends what was counted since the last time; False where Redis is away."""
        with self._turn:
            return self._try(read=False)

    def totals(self) -> Totals:
        """The counts of all processes, those of this one up to now."""
        with self._turn:
            up = self._try(read=True)
            counts = dict(self._known)
            for sample, count in _counted(self._registry).items():  # those that are zero as well
                counts[sample] = counts.get(sample, 0) + count - self._sent.get(sample, 0)
            return Totals(counts=counts, redis_up=up)

    @contextmanager
    def flushing(self) -> Iterator[None]:
        """Flushes every second from a thread of its own, and once more at the end."""
        ended = threading.Event()
        arguments = (ended,)
        thread = threading.Thread(target=self._flush, args=arguments, name="metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(ENDED_WITHIN_S)
            self._redis.close()

    def _flush(self, ended: threading.Event) -> None:
        while not ended.wait(FLUSH_S):
            self.flush()
        self.flush()

    def _try(self, *, read: bool) -> bool:
        try:
            self._exchange(read=read)
        except RedisError as error:
            if self._was_up:
                log.warning("metrics not shared", extra={"error": type(error).__name__})
            self._was_up = False
            return False
        self._was_up = True
        return True

    def _exchange(self, *, read: bool) -> None:
        self._settle()
        now = _counted(self._registry)
        added = _added(now, self._sent)
        pipeline = self._redis.pipeline(transaction=True)
        for sample, more in added.items():
            pipeline.hincrbyfloat(self._key, json.dumps(sample), more)
        if added:
            self._number += 1
            self._unsure = self._number, now
            pipeline.set(self._mark, self._number, ex=MARK_S)
            pipeline.expire(self._key, KEPT_S)
        if read:
            pipeline.hgetall(self._key)
        answers = pipeline.execute() if added or read else []
        if added:
            self._sent, self._unsure = now, None
        if read:
            self._known = _read(answers[-1])

    def _settle(self) -> None:
        """Whether the flush whose answer was lost had been heard."""
        if self._unsure is None:
            return
        number, counts = self._unsure
        mark: Any = self._redis.get(self._mark)
        if mark is not None and int(mark) == number:
            self._sent = counts
        self._unsure = None


def _counted(registry: CollectorRegistry) -> Counts:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def _added(now: Counts, before: Counts) -> Counts:
    differences = ((sample, count - before.get(sample, 0)) for sample, count in now.items())
    return {sample: more for sample, more in differences if more}


def _read(kept: Mapping[bytes, bytes]) -> Counts:
    counts = Counts()
    for field, count in kept.items():
        name, labels = json.loads(field)
        counts[name, tuple((label, value) for label, value in labels)] = float(count)
    return counts
