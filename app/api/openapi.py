"""The OpenAPI document: FastAPI's own, and the request bodies that the routes read by
themselves.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.routing import BaseRoute

from app.api.inference_tensors import InferRequest
from app.api.routes_registry import AliasRequest
from app.api.schemas import AdaptRequest, PredictRequest, Problem
from app.api.schemas_adaptations import AdaptationChange
from app.api.schemas_callers import KeyRequest, TenantChange, TenantRequest

BODIES: dict[tuple[str, str], type[BaseModel]] = {
    ("patch", "/adaptations/{adaptation_id}"): AdaptationChange,
    ("post", "/keys"): KeyRequest,
    ("post", "/v2/models/{adaptation_id}/infer"): InferRequest,
    ("put", "/checkpoints/{name}/aliases/{alias}"): AliasRequest,
    ("post", "/tenants"): TenantRequest,
    ("patch", "/tenants/{tenant_id}"): TenantChange,
}
FORM = {
    "schema": {
        "type": "object",
        "required": ["request"],
        "properties": {
            "request": {
                "type": "string",
                "description": "The JSON body without `support`.",
                "example": '{"checkpoint": "omniglot-5way-1shot"}',
            }
        },
        "additionalProperties": {
            "type": "string",
            "format": "binary",
            "description": "`support[<class>]`: a PNG, JPEG or WebP of that class, told by its "
            "bytes; may repeat.",
        },
    }
}


def describe(app: FastAPI, also: Sequence[BaseRoute]) -> dict[str, Any]:
    """The document, made once; also: what FastAPI documents of routes that it does not serve."""
    if app.openapi_schema is None:
        app.openapi_schema = _build(app, [*also, *app.routes])
    return app.openapi_schema


def _build(app: FastAPI, routes: Sequence[BaseRoute]) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=routes)
    schemas = document["components"]["schemas"]
    adapt = {"application/json": _content(schemas, AdaptRequest), "multipart/form-data": FORM}
    predict = {"application/json": _content(schemas, PredictRequest)}
    _content(schemas, Problem)
    document["paths"]["/adapt"]["post"]["requestBody"] = {"required": True, "content": adapt}
    document["paths"]["/predict"]["post"]["requestBody"] = {"required": True, "content": predict}
    for (method, path), model in BODIES.items():
        content = {"application/json": _content(schemas, model)}
        document["paths"][path][method]["requestBody"] = {"required": True, "content": content}
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A key, where any exists."},
        "basic": {"type": "http", "scheme": "basic", "description": "The key as password."},
    }
    document["security"] = [{"bearer": []}, {"basic": []}, {}]
    _drop_framework_errors(document)
    _restore_examples(schemas)
    return document


def _restore_examples(components: dict[str, Any]) -> None:
    """FastAPI leaves every null out, also in the examples, where it is part of the answer."""
    models = {model.__name__: model for model in _models_below(BaseModel)}
    for name, schema in components.items():
        if "enum" in schema:
            schema["example"] = schema["enum"][0]
            continue
        extra: Any = models[name].model_config.get("json_schema_extra")
        schema["example"] = extra["example"]


def _models_below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Those of ours, wherever they are said."""
    for below in model.__subclasses__():
        if below.__module__.startswith("app.api."):
            yield below
        yield from _models_below(below)


def _drop_framework_errors(document: dict[str, Any]) -> None:
    """FastAPI documents a 422 of its own form, which no route of ours ever gives."""
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            answer = operation["responses"].get("422", {})
            if "application/json" in answer.get("content", {}):
                del operation["responses"]["422"]


def _content(schemas: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """A reference to the model's schema, which is put among the components with all it refers
    to.
    """
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
    return {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
