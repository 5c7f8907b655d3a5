"""The OpenAPI document against a service that runs: whatever it allows to be sent is answered as it
says.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.processes import Service, running_service

KEY = "fs_" + "documented-" * 4
HEADERS = {"Authorization": f"Bearer {KEY}"}
DOCUMENT: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "docs" / "openapi.json").read_text()
)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
FEW = settings(
    max_examples=8,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

pytestmark = pytest.mark.e2e


@schemathesis.serializer(*LINES)
def as_lines(context: Any, value: Any) -> bytes:
    return str(value).encode("utf-8", "replace")


schema = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own, with a key that may do everything."""
    folder = tmp_path_factory.mktemp("documented")
    limits = {"FEWSTEP_WAIT_DEFAULT_S": "0", "FEWSTEP_WAIT_LIMIT_S": "1"}
    with running_service(folder, FEWSTEP_BOOTSTRAP_KEY=KEY, **limits) as running:
        yield running


def test_the_examples_of_requests_work_when_pasted(service: Service) -> None:
    pasted = 0
    with httpx.Client(base_url=service.base_url, headers=HEADERS, timeout=30) as client:
        made = client.post("/adapt", json=example("AdaptRequest"), headers={"Prefer": "wait=1"})
        assert made.status_code in (200, 201, 202), made.text
        for verb, path, body in examples():
            filled = path.replace("{adaptation_id}", made.json()["id"])
            if "{" in filled:
                continue  # of things that a caller names, which need their own first
            answer = client.request(verb, filled, json=usable(body, made.json()["id"]))
            assert answer.status_code < 300, (verb, path, answer.text)
            pasted += 1
    assert pasted >= 4


def example(name: str) -> Any:
    return DOCUMENT["components"]["schemas"][name]["example"]


def examples() -> Iterator[tuple[str, str, Any]]:
    """Verb, path and example of every operation that takes JSON."""
    for path, operations in DOCUMENT["paths"].items():
        for verb, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" in content:
                reference = content["application/json"]["schema"]["$ref"]
                yield verb, path, example(reference.rpartition("/")[2])


def usable(body: Any, adaptation: str) -> Any:
    """The example, where it refers to an adaptation with the one that is there."""
    return {**body, "adaptation": adaptation} if body.get("adaptation") else body


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(
    "label", [f"{verb.upper()} {path}" for path, on in DOCUMENT["paths"].items() for verb in on]
)
def test_whatever_is_sent_is_answered_as_documented(
    service: Service, label: str, mode: GenerationMode
) -> None:
    verb, _, path = label.partition(" ")
    operation = schema[path][verb]

    @FEW
    @given(data=st.data())
    def answers(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        case.call_and_validate(base_url=service.base_url, headers=HEADERS, checks=CHECKS)

    try:
        answers()
    except Unsatisfiable:  # where nothing can be sent that is not allowed
        if mode is GenerationMode.POSITIVE:
            raise
