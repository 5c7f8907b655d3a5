import json
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.api.problems import install, problem_response
from app.api.schemas import Problem
from app.errors import PROBLEMS, FieldError, ServiceError


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = FastAPI(redirect_slashes=False)
    install(app)

    @app.get("/items/{number}")
    def read(number: int, limit: int = 1) -> int:
        return number * limit

    @app.delete("/items/{number}")
    def delete(number: int) -> None:
        raise ServiceError("in-use", "expected nobody to use it, got a user")

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("s3cret")

    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_code_has_its_problem(code: str) -> None:
    response = problem_response(ServiceError(code, "expected a, got b"))

    status, title = PROBLEMS[code]
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert json.loads(bytes(response.body)) == {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "detail": "expected a, got b",
        "code": code,
    }


def test_a_problem_is_what_its_schema_says() -> None:
    place = FieldError(pointer="/x", detail="expected a, got b")
    response = problem_response(ServiceError("validation", "wrong", errors=[place]))

    problem = Problem.model_validate_json(bytes(response.body))

    assert [(one.pointer, one.detail) for one in problem.errors] == [("/x", "expected a, got b")]


@pytest.mark.parametrize("sign", ["x", "\u05d0", "\U0001f600", "\\", "\0"])
def test_a_problem_has_at_most_4096_bytes(sign: str) -> None:
    bodies = []
    for length in range(0, 5000, 7):
        places = [FieldError(pointer="/" + sign * (length // 10), detail="expected a, got b")] * 20
        error = ServiceError("validation", sign * length, errors=places)
        bodies.append(bytes(problem_response(error).body))

    assert 4000 < max(map(len, bodies)) <= 4096
    assert {json.loads(body)["code"] for body in bodies} == {"validation"}


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (ServiceError("unauthenticated", ""), "WWW-Authenticate", 'Bearer realm="fewstep"'),
        (ServiceError("queue-full", "", retry_after_s=7), "Retry-After", "7"),
        (ServiceError("not-ready", ""), "Retry-After", "1"),
        (ServiceError("unavailable", ""), "Retry-After", "1"),
        (ServiceError("method-not-allowed", "", allow="POST"), "Allow", "POST"),
        (ServiceError("not-found", ""), "Cache-Control", "no-store"),
        (ServiceError("not-found", ""), "X-Content-Type-Options", "nosniff"),
    ],
)
def test_a_problem_carries_the_headers_of_its_code(
    error: ServiceError, header: str, value: str
) -> None:
    assert problem_response(error).headers[header].startswith(value)


def test_a_path_that_does_not_exist_is_a_problem(client: TestClient) -> None:
    answers = [client.get(path) for path in ("/nowhere", "/items/1/", "/items/..%2f..%2fetc")]

    assert [(a.status_code, a.json()["code"]) for a in answers] == [(404, "not-found")] * 3


@pytest.mark.parametrize("method", ["BREW", "POST", "OPTIONS"])
def test_a_wrong_method_names_all_the_right_ones(client: TestClient, method: str) -> None:
    answer = client.request(method, "/items/1")

    assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")
    assert answer.headers["Allow"] == "DELETE, GET, HEAD"


def test_a_wrong_parameter_is_named_without_its_value(client: TestClient) -> None:
    answer = client.get("/items/s3cret?limit=s3cret")

    places = [
        {"pointer": p, "detail": "expected an integer, got a string"} for p in ("/number", "/limit")
    ]
    assert (answer.status_code, answer.json()["code"]) == (422, "validation")
    assert answer.json()["errors"] == places
    assert "s3cret" not in answer.text


def test_a_refusal_inside_a_route_is_its_problem(client: TestClient) -> None:
    assert client.delete("/items/1").json()["code"] == "in-use"


def test_a_mistake_of_ours_is_logged_and_not_told(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/broken")

    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "s3cret" not in answer.text
    [line] = [record for record in caplog.records if record.name == "app.api.problems"]
    assert line.getMessage() == "request failed"
    assert "s3cret" not in str(vars(line))
