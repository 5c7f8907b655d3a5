"""Real processes: one trace through API and worker to a collector, and counts that outlive both."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.observing.collector import collecting
from tests.processes import Service, clean_environment, processes_of, running_service
from tests.surface.test_callers import BOOTSTRAP, caller, key, keyed, tenant
from tests.worker.orders import sine_points

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


PROMETHEUS = {"Authorization": f"Bearer {BOOTSTRAP}"}


def adapt(service: Service, seed: int = 1, **headers: str) -> None:
    x, y = sine_points(seed)
    support = {"inputs": x.tolist(), "targets": y.tolist()}
    order = {"checkpoint": "sinusoid", "support": support}
    answer = httpx.post(f"{service.base_url}/adapt", json=order, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["status"]) == (201, "succeeded")


def ended(service: Service, **headers: str) -> float:
    """How many adaptations workers ended well, as /metrics tells."""
    text = httpx.get(f"{service.base_url}/metrics", headers=headers, timeout=10).text
    families = {one.name: one for one in text_string_to_metric_families(text)}
    samples = families["fewstep_adaptations_ended"].samples
    return sum(s.value for s in samples if s.labels["status"] == "succeeded")


def becomes(true: Callable[[], bool], *, within_s: float = 20) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.e2e
def test_one_trace_leads_through_both_processes_to_the_collector(tmp_path: Path) -> None:
    with collecting() as (collector, address):
        asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_SERVICE_NAME": "few"}
        with running_service(tmp_path, **asked) as service:
            adapt(service, traceparent=f"00-{TRACE}-{CALLER}-01")

    spans = {span.name: span for _, span in collector.spans if span.trace_id.hex() == TRACE}
    assert collector.paths == {"/v1/traces"}
    assert {name for name, _ in collector.spans} == {"few"}
    assert spans["POST /adapt"].parent_span_id.hex() == CALLER
    assert spans["queue"].parent_span_id == spans["place"].span_id
    assert spans["batch"].parent_span_id == spans["queue"].span_id
    assert spans["adapt"].parent_span_id == spans["batch"].span_id
    assert spans["adaptation"].links[0].span_id == spans["batch"].span_id
    assert f"trace_id={TRACE}" in service.log.read_text()


@pytest.mark.e2e
def test_counts_outlive_the_workers_and_the_api(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        adapt(service)
        assert becomes(lambda: ended(service) == 1)
        for pid, command in processes_of(tmp_path).items():
            if "spawn_main" in command:
                os.kill(pid, signal.SIGKILL)
        adapt(service, 2)
        assert becomes(lambda: ended(service) == 2)
    with running_service(tmp_path) as service:
        assert ended(service) == 2


@pytest.mark.e2e
def test_only_the_operator_is_told_with_postgresql_and_redis_as_well(tmp_path: Path) -> None:
    with keyed("PostgreSQL and Redis", tmp_path) as service:
        with caller(service, BOOTSTRAP) as operator:
            stranger = key(operator, "adapt", "admin", tenant=tenant(operator))["secret"]
        adapt(service, **PROMETHEUS)
        refused = [
            httpx.get(f"{service.base_url}/metrics", headers=headers).status_code
            for headers in ({}, {"Authorization": f"Bearer {stranger}"})
        ]

        assert becomes(lambda: ended(service, **PROMETHEUS) == 1)
        assert refused == [401, 403]


def said_by(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What a Python of its own printed."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        check=True,
    )


def test_no_tracer_is_loaded_where_nobody_asks_for_traces() -> None:
    code = (
        "import sys, app.api.application, worker.application, app.observing.tracing as t;"
        "t.start_tracing(); print(t.tracer(), 'opentelemetry.sdk.trace' in sys.modules,"
        "'app.observing.spans' in sys.modules)"
    )

    said = said_by(code, FEWSTEP_REDIS_URL="redis://127.0.0.1:1")

    assert said.stdout.split() == ["None", "False", "False"]


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_opentelemetrys_own_switches_turn_traces_off(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.observing import tracing

    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    tracing.start_tracing()

    assert tracing.tracer() is None


def test_without_the_extra_it_is_said_once_and_the_service_goes_on() -> None:
    code = (
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'opentelemetry.sdk' else real(n, *a)\n"
        "import app.observing.tracing as t; t.start_tracing(); print(t.tracer())"
    )

    said = said_by(code, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")

    assert said.stdout.strip() == "None"
    assert said.stderr.strip() == "OTEL_* variables ask for traces; pip install 'fewstep[otel]'"
