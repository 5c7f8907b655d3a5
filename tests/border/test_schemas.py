import json
from typing import Any

import pytest
from pydantic import BaseModel

from app.api import schemas
from app.api.schemas import AdaptRequest, Metrics, PredictRequest, PredictResponse
from app.api.validating import validate
from app.errors import ServiceError
from tests.border.refusals import refused

ADAPT = {"checkpoint": "sinusoid", "support": {"inputs": [1.0], "targets": [1.0]}}
PREDICT = {"adaptation": "ad_1", "inputs": [1.0]}
EXEMPLIFIED = [
    model
    for model in vars(schemas).values()
    if isinstance(model, type)
    and issubclass(model, BaseModel)
    and "example" in (model.model_config.get("json_schema_extra") or {})
]


@pytest.mark.parametrize("model", EXEMPLIFIED, ids=lambda model: model.__name__)
def test_every_example_is_what_its_schema_says(model: type[BaseModel]) -> None:
    example = model.model_json_schema()["example"]

    assert json.loads(model.model_validate(example).model_dump_json(exclude_unset=True)).keys() == (
        example.keys()
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"checkpoint": "sinusoid:999"},
        {"checkpoint": "a.b_c-9@nope"},
        {"steps": 0},
        {"steps": None},
        {"step_size": 1},
        {"step_size": 1e-45},
        {"ttl_seconds": 315_360_000},
        {"webhook": "https://hooks.example:8443/a?b=%20c"},
        {"webhook": "gopher://example.com/"},
        {"name": "x" * 200},
        {"metadata": {"k" * 64: "x\r\nERROR forged\x1b[2J ${jndi:x} %s {0.__class__}"}},
        {"query": {"inputs": [1.0], "targets": None}},
    ],
    ids=str,
)
def test_a_field_in_range_is_taken_unchanged(fields: dict[str, Any]) -> None:
    taken = validate(AdaptRequest, ADAPT | fields).model_dump(exclude_unset=True)

    assert taken == ADAPT | fields


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        *[("checkpoint", value, "/checkpoint") for value in ("../../etc/passwd", "a:1@b", "", 5)],
        *[("checkpoint", value, "/checkpoint") for value in ("a\n", "a:0", "A", "a" * 65)],
        *[("steps", value, "/steps") for value in (-1, True, "3", " 3 ", "1_0", 3.0, [])],
        *[("step_size", v, "/step_size") for v in (0, -0.1, 5e-324, 1e39, 10**400, True, "1")],
        *[("ttl_seconds", v, "/ttl_seconds") for v in (0, -1, 10**12, 1.5, "60", True)],
        *[("name", value, "/name") for value in ("a\0b", "x" * 10_000, "a\nb", 5)],
        *[("webhook", value, "/webhook") for value in ("not a url", 5, "", "https:/a", "//a/b")],
        *[
            ("webhook", f"https://example.com/{end}", "/webhook")
            for end in ("\r\nX-Evil: 1", "#a", "ü", " ", "\n", "x" * 2000)
        ],
        ("metadata", {"user": 42}, "/metadata/user"),
        ("metadata", {"a": {"b": "c"}}, "/metadata/a"),
        ("metadata", {"a": "\0"}, "/metadata/a"),
        ("metadata", {"a": "x" * 100_000}, "/metadata/a"),
        ("metadata", {"a\0": "b"}, "/metadata"),
        ("metadata", {"a" * 1000: "b"}, "/metadata"),
        ("metadata", {str(i): "" for i in range(17)}, "/metadata"),
        ("metadata", {str(i): "" for i in range(100_000)}, "/metadata"),
        ("metadata", ["a"], "/metadata"),
        ("support", None, "/support"),
        ("support", {"inputs": [1.0], "targets": None}, "/support/targets"),
        ("query", {"inputs": []}, "/query/inputs"),
        ("assess", 1, "/assess"),
        *[(name, {}, f"/{name}") for name in ("supports", "__proto__", "__class__", "seed")],
        ("a/b~c", 1, "/a~1b~0c"),
        ("x" * 100_000, 1, ""),
        ("extends", "ad_1", ""),
    ],
)
def test_a_wrong_field_is_refused_at_its_place(field: str, value: object, pointer: str) -> None:
    with refused("validation", pointer):
        validate(AdaptRequest, ADAPT | {field: value})


@pytest.mark.parametrize("field", ["support", "checkpoint"])
def test_what_is_needed_cannot_be_absent(field: str) -> None:
    with refused("validation", "/support" if field == "support" else ""):
        validate(AdaptRequest, {name: value for name, value in ADAPT.items() if name != field})


@pytest.mark.parametrize("body", [[], None, "sinusoid", 1, True])
def test_a_body_is_an_object(body: object) -> None:
    with refused("validation", ""):
        validate(AdaptRequest, body)


def test_a_hundred_thousand_unknown_fields_are_one_error() -> None:
    with refused("validation", ""):
        validate(AdaptRequest, ADAPT | {f"k{i}": 0 for i in range(100_000)})


def test_several_wrong_fields_are_all_named() -> None:
    with refused("validation", "/steps", "/name"):
        validate(AdaptRequest, ADAPT | {"steps": "3", "name": 5})


def test_a_wrong_value_is_nowhere_in_its_refusal() -> None:
    with pytest.raises(ServiceError) as caught:
        validate(AdaptRequest, ADAPT | {"name": ["s3cret"], "steps": "s3cret", "assess": "s3cret"})

    assert "s3cret" not in str([caught.value, caught.value.errors])


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"inputs": []}, "/inputs"),
        ({"top_k": 0}, "/top_k"),
        ({"top_k": -1}, "/top_k"),
        ({"top_k": "3"}, "/top_k"),
        ({"checkpoint": "sinusoid"}, ""),
        ({"adaptation": None}, ""),
        ({"steps": 1}, "/steps"),
    ],
)
def test_a_wrong_prediction_request_is_refused(fields: dict[str, Any], pointer: str) -> None:
    with refused("validation", pointer):
        validate(PredictRequest, PREDICT | fields)


def test_scores_that_were_not_asked_for_are_absent() -> None:
    metrics = Metrics.model_validate({"support_loss": [1.0], "a_later_score": 0.5})
    answer = PredictResponse.model_validate({"predictions": [{"value": [0.5]}]})

    assert json.loads(metrics.model_dump_json()) == {"support_loss": [1.0], "a_later_score": 0.5}
    assert json.loads(answer.model_dump_json()) == {"predictions": [{"value": [0.5]}]}
