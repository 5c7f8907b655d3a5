"""The text is Prometheus's own, and its names, HELP and TYPE are as an operator expects them."""

import re

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from app.observing.exposition import exposition
from app.observing.facts import Facts
from app.observing.metrics import COUNTED
from app.observing.sharing import Counts, Totals
from app.store.measuring import Stored

FACTS = Facts(adaptations={"queued": 3, "running": 1}, oldest_waiting_s=2.5, workers={"cpu": 2})
STORED = Stored(blobs=4, bytes=1000, size_bytes=9000, free_bytes=5000, at=1.5)


def families(counts: Counts | None = None, *, redis_up: bool = True) -> dict[str, Metric]:
    text = exposition(Totals(counts=counts or {}, redis_up=redis_up), FACTS, STORED).decode()
    return {one.name: one for one in text_string_to_metric_families(text)}


def test_every_metric_has_a_help_and_a_type_also_where_nothing_happened() -> None:
    text = exposition(Totals(counts={}, redis_up=False), FACTS, None).decode()

    helped = set(re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE))
    typed = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))

    assert helped == typed.keys()
    assert set(typed.values()) == {"counter", "gauge", "histogram"}
    assert len(typed) > 20


def test_names_end_with_their_unit_and_counters_with_total() -> None:
    text = exposition(Totals(counts={}, redis_up=True), FACTS, STORED).decode()
    typed = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))

    assert all(re.fullmatch(r"fewstep_[a-z]+(_[a-z]+)*", name) for name in typed)
    assert {name for name in typed if name.endswith("_total")} == {
        name for name, kind in typed.items() if kind == "counter"
    }
    assert not [name for name in typed if re.search("_(ms|minutes|mib|kb|ratio_percent)$", name)]


def test_labels_name_no_tenant_no_id_and_no_path() -> None:
    labels = {label for family in COUNTED.collect() for label in _labels_of(family)}

    assert labels <= {"method", "route", "status", "code", "reason", "phase", "cache", "result"}


def _labels_of(family: Metric) -> set[str]:
    return {label for sample in family.samples for label in sample.labels} - {"le"}


def test_facts_are_told_as_gauges() -> None:
    found = families()

    queued = {s.labels["status"]: s.value for s in found["fewstep_adaptations"].samples}
    assert queued == {"queued": 3, "running": 1}
    assert found["fewstep_queue_oldest_waiting_seconds"].samples[0].value == 2.5
    assert found["fewstep_stored_bytes"].samples[0].value == 1000
    assert found["fewstep_store_free_bytes"].samples[0].value == 5000
    assert found["fewstep_store_size_bytes"].samples[0].value == 9000


@pytest.mark.parametrize("up", [True, False])
def test_it_says_whether_redis_is_there(up: bool) -> None:
    found = families(redis_up=up)

    assert found["fewstep_metrics_redis_up"].samples[0].value == up


def test_a_histogram_has_all_its_buckets_also_those_in_which_nothing_fell() -> None:
    name = "fewstep_batch_adaptations"
    reason = ("reason", "full")
    counts: Counts = {
        (f"{name}_bucket", (("le", "32.0"), reason)): 2,
        (f"{name}_bucket", (("le", "64.0"), reason)): 2,
        (f"{name}_bucket", (("le", "128.0"), reason)): 2,
        (f"{name}_bucket", (("le", "256.0"), reason)): 2,
        (f"{name}_bucket", (("le", "+Inf"), reason)): 2,
        (f"{name}_count", (reason,)): 2,
        (f"{name}_sum", (reason,)): 64,
    }

    samples = families(counts)[name].samples

    buckets = [(s.labels["le"], s.value) for s in samples if s.name.endswith("_bucket")]
    below = [(f"{bound}.0", 0) for bound in (1, 2, 4, 8, 16)]
    assert buckets == [*below, ("32.0", 2), ("64.0", 2), ("128.0", 2), ("256.0", 2), ("+Inf", 2)]
