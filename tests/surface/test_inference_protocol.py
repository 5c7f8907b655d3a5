"""The Open Inference Protocol v2, asked by a public client of it, beside what /predict says."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as public
from tritonclient.utils import InferenceServerException

from tests.journey.requests import (
    adapt,
    characters,
    data_url,
    drawing,
    pixels,
    predict,
    refusal,
    sine,
    table,
)
from tests.processes import Service

Json = dict[str, Any]
UNKNOWN = "ad_" + "0" * 32


@pytest.fixture
def triton(service: Service) -> Iterator[Any]:
    client = public.InferenceServerClient(service.base_url.removeprefix("http://"))
    yield client
    client.close()


def tensor(rows: np.ndarray, *, binary: bool, datatype: str = "FP32") -> Any:
    given = public.InferInput("input", list(rows.shape), datatype)
    given.set_data_from_numpy(rows, binary_data=binary)
    return given


def test_the_server_and_its_models_say_what_they_are(client: httpx.Client, triton: Any) -> None:
    made = adapt(client, characters())

    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.get_server_metadata()["name"] == "fewstep"
    assert triton.is_model_ready(made["id"])
    about = triton.get_model_metadata(made["id"])
    assert about["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 1, 28, 28]}]
    assert about["parameters"]["classes"] == made["classes"]
    assert [one["name"] for one in about["outputs"]] == ["label", "probabilities", "novelty"]
    assert not triton.is_model_ready(UNKNOWN)


@pytest.mark.parametrize("binary", [True, False])
def test_pictures_are_told_as_predict_tells_them(
    client: httpx.Client, triton: Any, binary: bool
) -> None:
    made = adapt(client, characters())
    rows = np.stack([pixels(drawing(name, 2)) for name in ("kem", "tavo")])[:, None]
    expected = predict(client, made, rows.tolist())
    outputs = [
        public.InferRequestedOutput(name, binary_data=binary)
        for name in ("probabilities", "label", "novelty")
    ]

    told = triton.infer(made["id"], [tensor(rows, binary=binary)], outputs=outputs, request_id="7")

    assert told.get_response()["id"] == "7"
    assert told.as_numpy("probabilities") == pytest.approx(table(expected), abs=1e-5)
    labels = [str(one.decode() if binary else one) for one in told.as_numpy("label")]
    assert labels == [one["label"] for one in expected]
    novelties = [one["novelty"] for one in expected]
    assert told.as_numpy("novelty") == pytest.approx(novelties, abs=1e-5)


def test_strings_are_data_urls(client: httpx.Client, triton: Any) -> None:
    made = adapt(client, characters())
    rows = np.array([data_url(drawing("kem", 2)).encode()], dtype=np.object_)

    told = triton.infer(made["id"], [tensor(rows, binary=True, datatype="BYTES")])

    assert told.as_numpy("label")[0] in (b"kem", "kem")


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT64"])
def test_numbers_of_any_type_are_values(client: httpx.Client, triton: Any, datatype: str) -> None:
    made = adapt(client, sine())
    kinds = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64}
    rows = np.array([[1], [2], [-3]], kinds[datatype])

    told = triton.infer(made["id"], [tensor(rows, binary=True, datatype=datatype)])

    assert told.as_numpy("value") == pytest.approx(
        table(predict(client, made, rows.tolist())), abs=1e-5
    )


def test_a_bayesian_curve_tells_its_deviations(client: httpx.Client, triton: Any) -> None:
    x = np.linspace(-2, 2, 6)
    support = {"inputs": x.tolist(), "targets": np.sin(x).tolist()}
    made = adapt(client, {"checkpoint": "curves", "support": support})
    rows = np.array([[0.5], [5.0]], np.float32)
    expected = predict(client, made, rows.tolist())

    about = triton.get_model_metadata(made["id"])
    told = triton.infer(made["id"], [tensor(rows, binary=True)])

    assert [one["name"] for one in about["outputs"]] == ["value", "standard_deviation"]
    deviations = [one["standard_deviation"] for one in expected]
    assert told.as_numpy("standard_deviation") == pytest.approx(np.array(deviations), abs=1e-5)


def test_what_is_wrong_is_told_in_the_protocols_place(client: httpx.Client, triton: Any) -> None:
    made = adapt(client, sine())
    rows = np.ones((1, 1), np.float32)

    with pytest.raises(InferenceServerException, match="there is no such adaptation"):
        triton.infer(UNKNOWN, [tensor(rows, binary=True)])
    with pytest.raises(InferenceServerException, match="expected one of value"):
        triton.infer(
            made["id"],
            [tensor(rows, binary=True)],
            outputs=[public.InferRequestedOutput("logits")],
        )


@pytest.mark.parametrize(
    ("tensor", "code"),
    [
        ({"shape": [1, 1, 28, 28], "data": [0.0] * 10}, "shape-mismatch"),
        ({"shape": [1, 1099511627776], "data": []}, "validation"),
        ({"shape": [1, 2147483648], "data": []}, "shape-mismatch"),
        ({"shape": [3, 0], "data": []}, "validation"),
        ({"shape": [0, 1], "data": []}, "validation"),
        ({"shape": [1, 1], "data": [0.5], "name": "x"}, "validation"),
        ({"shape": [1, 1], "data": [0.5], "datatype": "FP8"}, "validation"),
        ({"shape": [1, 1]}, "validation"),
        ({"shape": [1, 1], "parameters": {"binary_data_size": 4}}, "validation"),
        ({"shape": [1, 2], "data": [0.5, 0.5]}, "shape-mismatch"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused(client: httpx.Client, tensor: Json, code: str) -> None:
    made = adapt(client, sine())
    given = {"name": "input", "datatype": "FP32"} | tensor

    answer = client.post(f"/v2/models/{made['id']}/infer", json={"inputs": [given]})

    assert refusal(answer) == (422, code)
    assert answer.json()["error"] == answer.json()["detail"]


def test_the_length_of_the_header_must_be_one(client: httpx.Client) -> None:
    made = adapt(client, sine())
    body = json.dumps({"inputs": []})
    for length in ("-1", "x", str(len(body) + 1)):
        answer = client.post(
            f"/v2/models/{made['id']}/infer",
            content=body,
            headers={
                "Content-Type": "application/octet-stream",
                "Inference-Header-Content-Length": length,
            },
        )
        assert refusal(answer) == (400, "bad-request")
