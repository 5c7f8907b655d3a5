"""The OpenAPI document against the routes, and its examples against the schemas beside them."""

import json
from typing import Any

import pytest
from pydantic import BaseModel
from starlette.routing import Route

from app.api import schemas
from app.api.application import create_app
from app.settings import read_settings


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    app = create_app(read_settings(redis_url="redis://127.0.0.1:1"))
    written: dict[str, Any] = json.loads(json.dumps(app.openapi()))
    return written


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
    open_to_all = {"/livez", "/readyz", "/problems/{code}"}

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


def test_every_schema_carries_an_example_that_it_accepts(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        model = getattr(schemas, name)
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        model.model_validate_json(json.dumps(schema["example"]))
