"""All metrics as text in Prometheus's format, with HELP and TYPE also of what never happened."""

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from app.observing.facts import MOST_COUNTED, Facts
from app.observing.metrics import BOUNDS, COUNTED
from app.observing.sharing import Counts, Sample, Totals
from app.store.measuring import Stored

MEDIA_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4


def exposition(totals: Totals, facts: Facts, stored: Stored | None) -> bytes:
    """stored None: nobody has looked through the store yet."""
    redis = _gauge("fewstep_metrics_redis_up", "Whether Redis, which adds up the counts, answers.")
    redis.add_metric([], totals.redis_up)
    built = _gauge("fewstep_build_info", "The release of the process that answers.", "version")
    built.add_metric([version("fewstep")], 1)
    registry = CollectorRegistry()
    families = [*_counted(totals.counts), *_facts(facts), *_stored(stored), redis, built]
    registry.register(_Told(families))
    return generate_latest(registry)


class _Told(Collector):
    """Families of metrics that are there already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _counted(counts: Counts) -> Iterator[Metric]:
    for known in COUNTED.collect():
        family = Metric(known.name, known.documentation, known.type)
        if known.name in BOUNDS:
            _add_histograms(family, counts)
        else:
            for (name, labels), count in sorted(counts.items()):
                if name == f"{known.name}_total":
                    family.add_sample(name, dict(labels), count)
        yield family


def _add_histograms(family: Metric, counts: Counts) -> None:
    """Each with all of its buckets, those in which nothing ever fell as well."""
    name = family.name
    for labels in sorted(labels for one, labels in counts if one == f"{name}_count"):
        for bound in map(floatToGoString, BOUNDS[name]):
            bucket: Sample = f"{name}_bucket", tuple(sorted((*labels, ("le", bound))))
            family.add_sample(bucket[0], {**dict(labels), "le": bound}, counts.get(bucket, 0))
        for part in ("count", "sum"):
            family.add_sample(
                f"{name}_{part}", dict(labels), counts.get((f"{name}_{part}", labels), 0)
            )


def _facts(facts: Facts) -> list[Metric]:
    rows = _gauge(
        "fewstep_adaptations",
        f"Adaptations that are kept, by their status; each counted up to {MOST_COUNTED}.",
        "status",
    )
    oldest = _gauge("fewstep_queue_oldest_waiting_seconds", "Age of what waits longest, or 0.")
    workers = _gauge("fewstep_workers", "Workers that live, by their device.", "device")
    oldest.add_metric([], facts.oldest_waiting_s)
    for family, numbers in ((rows, facts.adaptations), (workers, facts.workers)):
        for label, number in sorted(numbers.items()):
            family.add_metric([label], number)
    return [rows, oldest, workers]


def _stored(stored: Stored | None) -> list[Metric]:
    size = _gauge("fewstep_stored_bytes", "Bytes of all blobs in the store.")
    blobs = _gauge("fewstep_stored_blobs", "Blobs in the store.")
    room = _gauge("fewstep_store_size_bytes", "Bytes that the store's file system has in all.")
    free = _gauge("fewstep_store_free_bytes", "Bytes of them that are free.")
    looked = _gauge("fewstep_stored_looked_timestamp_seconds", "When the store was looked through.")
    if stored is not None:
        size.add_metric([], stored.bytes)
        blobs.add_metric([], stored.blobs)
        looked.add_metric([], stored.at)
    if stored is not None and stored.size_bytes is not None and stored.free_bytes is not None:
        room.add_metric([], stored.size_bytes)
        free.add_metric([], stored.free_bytes)
    return [size, blobs, room, free, looked]


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, labels=labels)
