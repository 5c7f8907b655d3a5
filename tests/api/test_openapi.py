"""The OpenAPI document against the routes, and its examples against the schemas beside them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from starlette.routing import Route

from app.api.__main__ import written
from app.api.application import create_app
from app.settings import read_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    app = create_app(read_settings(redis_url="redis://127.0.0.1:1"))
    described: dict[str, Any] = json.loads(json.dumps(app.openapi()))
    return described


def test_every_route_is_documented(document: dict[str, Any]) -> None:
    app = create_app(read_settings(redis_url="redis://127.0.0.1:1"))
    hidden = {"/", "/openapi.json", "/docs", "/docs/oauth2-redirect"}

    routes = {route.path for route in app.routes if isinstance(route, Route)}

    assert set(document["paths"]) == routes - hidden


def test_every_operation_documents_its_problems(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            refusals = {s: r for s, r in operation["responses"].items() if s[0] in "45d"}
            assert "default" in refusals, path
            for answer in refusals.values():
                assert list(answer["content"]) == ["application/problem+json"], path


def test_every_route_but_the_public_ones_can_answer_401(document: dict[str, Any]) -> None:
    open_to_all = {
        "/livez",
        "/readyz",
        "/problems/{code}",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
    }

    closed = {
        path
        for path, operations in document["paths"].items()
        if all("401" in operation["responses"] for operation in operations.values())
    }

    assert closed == set(document["paths"]) - open_to_all


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    known = set(document["components"]["schemas"])

    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}

    assert named <= known


def models(of: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    """All of the API's own."""
    for model in of.__subclasses__():
        if model.__module__.startswith("app.api."):
            yield model
        yield from models(model)


def test_every_schema_carries_an_example_that_it_accepts(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        if "enum" in schema:
            assert schema["example"] in schema["enum"]
            continue
        model = next(one for one in models() if one.__name__ == name)
        model.model_validate_json(json.dumps(schema["example"]))


def test_the_committed_document_is_what_the_service_says_now() -> None:
    assert (ROOT / "docs" / "openapi.json").read_text() == written()


def test_every_schemas_example_is_valid_by_a_validator_of_json_schema(
    document: dict[str, Any],
) -> None:
    for name in document["components"]["schemas"]:
        within = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        example = document["components"]["schemas"][name]["example"]
        errors = [error.message for error in Draft202012Validator(within).iter_errors(example)]
        assert errors == [], name


def test_every_operation_documents_what_any_of_its_kind_can_answer(
    document: dict[str, Any],
) -> None:
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            needed = {"422", "default"}
            if operation.get("security") != []:
                needed |= {"400", "401", "429", "503"}
            if verb in ("post", "put", "patch", "delete"):
                needed |= {"403"}
            if "{" in path:
                needed |= {"404"}
            if "requestBody" in operation:
                needed |= {"413", "415"}
            missing = needed - set(operation["responses"])
            assert not missing, f"{verb} {path}: {missing}"


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    schema = schemathesis.openapi.from_dict(document)
    assert schema.validate() is None
