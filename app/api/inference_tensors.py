"""Tensors of the Open Inference Protocol v2 (KServe), as JSON and as bytes behind it.

https://github.com/kserve/open-inference-protocol, and its extension for binary tensor data.
"""

import struct
from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from app.api.forms import Request
from app.errors import refusal

INPUT: Final = "input"
DTYPES: Final[Mapping[str, str]] = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP32": "<f4",
    "FP64": "<f8",
}
# Not 0: a shape such as [2**31, 0] fits no data at all, and is 2**31 empty lists.
Size = Annotated[int, Field(ge=1, le=2**31)]
EXAMPLE: Final[dict[str, Any]] = {
    "inputs": [{"name": INPUT, "shape": [1, 1], "datatype": "FP32", "data": [0.5]}]
}


class TensorIn(Request):
    """One tensor of a request: its numbers or strings in one row, or nested as they stand."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE["inputs"][0]})

    name: str
    shape: list[Size] = Field(min_length=1, max_length=8)
    datatype: Literal[
        "BOOL",
        "UINT8",
        "UINT16",
        "UINT32",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
        "FP32",
        "FP64",
        "BYTES",
    ]
    parameters: dict[str, Any] = Field(default_factory=dict)
    data: list[Any] | None = None


class OutputAsked(Request):
    """An output that the caller wants."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "probabilities"}})

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class InferRequest(Request):
    """Inputs of one adaptation, all in one tensor whose first axis is theirs."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    id: str | None = Field(None, max_length=200)
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: list[TensorIn] = Field(min_length=1, max_length=1)
    outputs: list[OutputAsked] | None = None


def examples_in(tensor: TensorIn, raw: bytes) -> list[Any]:
    """The examples of a request's tensor, as ``/predict`` takes them; raw: the bytes behind the
    JSON. Raises ServiceError shape-mismatch or validation; allocates nothing that is only claimed.
    """
    size = tensor.parameters.get("binary_data_size")
    if (size is None) == (tensor.data is None):
        raise refusal("validation", "/inputs/0/data", "expected data, or bytes behind the JSON")
    if size is not None and size != len(raw):
        raise refusal("validation", "/inputs/0", "expected as many bytes as binary_data_size says")
    if tensor.datatype == "BYTES":
        given = _strings(raw) if size is not None else _flat(tensor.data or [])
        return _of_shape(tensor, np.array(given, dtype=object))
    if size is not None:
        return _of_shape(tensor, _numbers(tensor, raw))
    return _of_shape(tensor, np.array(_flat(tensor.data or []), dtype=object))


def tensor_out(name: str, values: NDArray[Any] | list[str], *, binary: bool) -> tuple[Any, bytes]:
    """One tensor of an answer: what the JSON says of it, and the bytes behind that."""
    if isinstance(values, list):
        about: dict[str, Any] = {"name": name, "datatype": "BYTES", "shape": [len(values)]}
        data: Any = values
        texts = (value.encode() for value in values)
        raw = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    else:
        about = {"name": name, "datatype": "FP32", "shape": list(values.shape)}
        data, raw = values.ravel().tolist(), values.astype("<f4").tobytes()
    if binary:
        return about | {"parameters": {"binary_data_size": len(raw)}}, raw
    return about | {"data": data}, b""


def _of_shape(tensor: TensorIn, flat: NDArray[Any]) -> list[Any]:
    if flat.size != prod(tensor.shape):
        detail = f"expected data of the shape {tensor.shape}, got {flat.size} values"
        raise refusal("shape-mismatch", "/inputs/0/data", detail)
    shaped: list[Any] = flat.reshape(tensor.shape).tolist()
    return shaped


def _numbers(tensor: TensorIn, raw: bytes) -> NDArray[Any]:
    dtype = np.dtype(DTYPES[tensor.datatype])
    if len(raw) % dtype.itemsize:
        raise refusal("shape-mismatch", "/inputs/0", "expected whole numbers of the datatype")
    return np.frombuffer(raw, dtype)


def _strings(raw: bytes) -> list[str]:
    found, place = list[str](), 0
    try:
        while place < len(raw):
            (length,) = struct.unpack_from("<I", raw, place)
            text = raw[place + 4 : place + 4 + length]
            if len(text) < length:
                raise ValueError("cut off")
            found.append(text.decode("utf-8"))
            place += 4 + length
    except (struct.error, ValueError):
        detail = "expected strings in UTF-8, each behind its length"
        raise refusal("validation", "/inputs/0", detail) from None
    return found


def _flat(data: list[Any]) -> list[Any]:
    """All numbers or strings in one row, however they are nested."""
    if not any(isinstance(one, list) for one in data):
        return data
    return [value for one in data for value in (_flat(one) if isinstance(one, list) else [one])]
