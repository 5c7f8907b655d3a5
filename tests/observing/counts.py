"""What this process has counted, and registries that stand for those of other processes."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from app.observing.metrics import COUNTED


def counted(name: str, **labels: str) -> float:
    """The value of one sample of this process; 0 where it never happened."""
    return COUNTED.get_sample_value(name, labels) or 0.0


class Other:
    """Another process's registry, with two of the metrics that ours has."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        about = {"registry": self.registry, "documentation": "As ours."}
        self.leases = Counter("fewstep_leases_expired_total", **about)
        self.waits = Histogram("fewstep_queue_wait_seconds", buckets=(0.1, 1), **about)
