"""What the processes of the service count and time. Every label has few values, known beforehand:
no ids, no names, no paths that callers write.

Each process counts for itself here (``sharing`` adds them up); what the database knows by itself is
not counted but read (``facts``).
"""

import math
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

COUNTED: Final = CollectorRegistry()
BOUNDS: Final = dict[str, tuple[float, ...]]()  # of each histogram's buckets, the last one infinite

SHORT_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LONG_S: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600)
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def _counter(name: str, about: str, *labels: str) -> Counter:
    return Counter(name, about, labels, registry=COUNTED)


def _histogram(name: str, about: str, *labels: str, bounds: tuple[float, ...]) -> Histogram:
    BOUNDS[name] = (*bounds, math.inf)
    return Histogram(name, about, labels, buckets=bounds, registry=COUNTED)


REQUESTS: Final = _counter(
    "fewstep_http_requests_total",
    "Requests answered, by the template of their route.",
    "method",
    "route",
    "status",
)
REQUEST_S: Final = _histogram(
    "fewstep_http_request_duration_seconds",
    "Time until an answer began, waiting for an adaptation included.",
    "method",
    "route",
    bounds=SHORT_S,
)
PROBLEMS: Final = _counter(
    "fewstep_http_problems_total",
    "Requests refused, by the code of the problem.",
    "code",
)
QUEUE_WAIT_S: Final = _histogram(
    "fewstep_queue_wait_seconds",
    "Time that an adaptation waited in the queue until a worker claimed it.",
    bounds=LONG_S,
)
BATCH: Final = _histogram(
    "fewstep_batch_adaptations",
    "Adaptations that a worker claimed together, by why they were not more.",
    "reason",
    bounds=SIZES,
)
SPLITS: Final = _counter(
    "fewstep_batch_splits_total",
    "Stacked calls that had to be repeated with fewer adaptations, by why.",
    "reason",
)
PHASE_S: Final = _histogram(
    "fewstep_batch_phase_seconds",
    "Time of a part of a batch: load (from the store), adapt (all its stacked calls), keep (one"
    " adaptation's parameters into the store), commit (its rows).",
    "phase",
    bounds=SHORT_S,
)
ENDED: Final = _counter(
    "fewstep_adaptations_ended_total",
    "Adaptations that workers ended, by their status.",
    "status",
)
FAILURES: Final = _counter(
    "fewstep_adaptation_failures_total",
    "Adaptations that failed, by the code of their error.",
    "code",
)
EQUAL_WORK: Final = _counter(
    "fewstep_adaptations_taken_over_total",
    "Adaptations that took over what an equal one of their tenant had come to.",
)
LEASES_EXPIRED: Final = _counter(
    "fewstep_leases_expired_total",
    "Claims on adaptations that ran out because their worker was lost.",
)
CACHE: Final = _counter(
    "fewstep_cache_requests_total",
    "Looks into a cache: phi (models kept hot by the API), caller (keys remembered by the API),"
    " theta (checkpoints kept hot by workers).",
    "cache",
    "result",
)
# Those of the way of every prediction, found once.
PHI_HIT, PHI_MISS = CACHE.labels("phi", "hit"), CACHE.labels("phi", "miss")
CALLER_HIT, CALLER_MISS = CACHE.labels("caller", "hit"), CACHE.labels("caller", "miss")
THETA_HIT, THETA_MISS = CACHE.labels("theta", "hit"), CACHE.labels("theta", "miss")
