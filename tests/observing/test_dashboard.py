"""The dashboard and the alerting rules ask for nothing that /metrics does not have."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import AggregateExpr, VectorSelector

from app.adaptations.observed import Observed
from app.observing.metrics import COUNTED
from app.observing.sharing import Sharing
from tests.observing.test_batches import REASONS
from tests.worker.conftest import OpenBench
from tests.worker.orders import place
from worker.batch import run_hint
from worker.measuring import look

DOCS = Path(__file__).parents[2] / "docs"
DASHBOARD = json.loads((DOCS / "grafana" / "fewstep.json").read_text())
RULES = yaml.safe_load((DOCS / "grafana" / "alerts.yaml").read_text())
OF_PROMETHEUS = {"job", "instance", "pod", "le"}
# Some happen seldom: as labels of what did not happen here, each is written down.
SELDOM = {
    "fewstep_http_requests_total": {"method", "route", "status"},
    "fewstep_http_request_duration_seconds_bucket": {"method", "route"},
    "fewstep_http_problems_total": {"code"},
    "fewstep_adaptation_failures_total": {"code"},
    "fewstep_batch_splits_total": {"reason"},
    "fewstep_workers": {"device"},
}


def panels() -> Iterator[dict[str, Any]]:
    return (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def queries() -> list[str]:
    """Every query of the dashboard, with a time in place of Grafana's own word, and every rule."""
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    rules = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
    return [query.replace("$__rate_interval", "5m") for query in shown] + rules


@pytest.fixture
def labels_by_name(open_bench: OpenBench) -> dict[str, set[str]]:
    """The samples of /metrics by name, each with its labels, after one adaptation."""
    bench = open_bench()
    run_hint(bench, place(bench))
    look(bench.backends)
    sharing = Sharing(str(bench.backends.settings.redis_url))
    text = Observed(bench.backends, sharing).text().decode()
    found: dict[str, set[str]] = defaultdict(set, {k: set(v) for k, v in SELDOM.items()})
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] |= sample.labels.keys()
    assert {name for name in found if name not in SELDOM}
    return dict(found)


def test_every_query_names_metrics_and_labels_that_are_there(
    labels_by_name: dict[str, set[str]],
) -> None:
    for query in queries():
        labels = set[str]()
        for name, matched in selectors(query):
            assert name in labels_by_name, query
            assert matched <= labels_by_name[name] | OF_PROMETHEUS, query
            labels |= labels_by_name[name]
        assert grouped(query) <= labels | OF_PROMETHEUS, query


def test_the_seldom_ones_are_as_they_are_counted() -> None:
    known = {
        f"{one.name}_total" if one.type == "counter" else one.name for one in COUNTED.collect()
    }

    assert {re.sub("_bucket$", "", name) for name in SELDOM} - {"fewstep_workers"} <= known


def test_every_metric_is_shown_but_the_time_of_a_look(labels_by_name: dict[str, set[str]]) -> None:
    shown = {
        re.sub("_(bucket|sum|count)$", "", name) for q in queries() for name, _ in selectors(q)
    }
    there = {re.sub("_(bucket|sum|count)$", "", name) for name in labels_by_name}

    assert there - shown == {"fewstep_stored_looked_timestamp_seconds"}


def test_the_dashboard_can_be_imported_for_any_source() -> None:
    [source, job] = DASHBOARD["templating"]["list"]

    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    assert job["definition"] == "label_values(fewstep_build_info, job)"
    assert {panel["datasource"]["uid"] for panel in panels()} == {"${datasource}"}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert all(panel["description"] for panel in panels())


def test_every_alert_says_what_to_do() -> None:
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]

    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}


def test_the_page_lists_every_metric_with_its_labels(labels_by_name: dict[str, set[str]]) -> None:
    page = (DOCS / "observability.md").read_text()
    rows = re.findall(r"^\| `(fewstep_\w+)` \| ([a-z, ]*)\|", page, re.MULTILINE)
    there: dict[str, set[str]] = defaultdict(set)
    for name, labels in labels_by_name.items():
        there[re.sub("_(bucket|sum|count)$", "", name)] |= labels - {"le"}

    listed = {name: {label.strip() for label in labels.split(",")} - {""} for name, labels in rows}

    assert listed == there


def test_the_page_lists_every_reason_of_a_batchs_size() -> None:
    page = (DOCS / "observability.md").read_text().partition("The reasons of a batch's size")[2]

    assert tuple(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)) == REASONS


def selectors(query: str) -> list[tuple[str, set[str]]]:
    """The metrics that a query names, with the labels by which it chooses."""
    found = [node for node in nodes(query) if isinstance(node, VectorSelector)]
    assert found, query
    return [(str(one.name), {m.name for m in one.matchers.matchers}) for one in found]


def grouped(query: str) -> set[str]:
    """The labels by which a query groups."""
    modifiers = [node.modifier for node in nodes(query) if isinstance(node, AggregateExpr)]
    return {label for modifier in modifiers if modifier for label in modifier.labels}


def nodes(query: str) -> list[Any]:
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(query), found.append)
    return found
