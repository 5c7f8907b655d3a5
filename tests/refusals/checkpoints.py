"""Cases of checkpoints that are uploaded: files that are none, or not what they say they are."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.refusals.calls import Answer, Call, Json, get, post, send
from tests.refusals.case import Case, accepted, in_little_memory, refused
from tests.refusals.world import SINE, World

SINUSOID = Path(__file__).parents[2] / "models" / "checkpoints" / "sinusoid.safetensors"
BINARY = ("Content-Type", "application/octet-stream")
WHOLE = SINUSOID.read_bytes()
END = 8 + int.from_bytes(WHOLE[:8], "little")
HEADER: Json = json.loads(WHOLE[8:END])
DATA = WHOLE[END:]
FIRST = min((n for n in HEADER if n.startswith("theta.")), key=lambda n: HEADER[n]["data_offsets"])
NAME = "refused"


def upload(data: bytes) -> Call:
    return Call(path="/checkpoints", headers=[BINARY], body=data)


def file(header: Any, data: bytes = DATA, *, text: bytes | None = None) -> bytes:
    """A file of this header, or of these bytes in its place."""
    told = json.dumps(header).encode() if text is None else text
    return struct.pack("<Q", len(told)) + told + data


def with_tensors(**changes: Any) -> Json:
    """The header with some tensors' entries changed, added, or (None) left out."""
    merged = HEADER | changes
    return {name: entry for name, entry in merged.items() if entry is not None}


def first(**changes: Any) -> Json:
    """The header with the first tensor's entry changed."""
    return with_tensors(**{FIRST: HEADER[FIRST] | changes})


def about(**changes: Any) -> bytes:
    """The file with other metadata."""
    told = json.loads(HEADER["__metadata__"]["fewstep"]) | {"name": NAME} | changes
    return file(HEADER | {"__metadata__": {"fewstep": json.dumps(told)}})


def network(**changes: Any) -> bytes:
    told = json.loads(HEADER["__metadata__"]["fewstep"])
    return about(network=told["network"] | changes)


def named(name: str) -> bytes:
    return about(name=name)


def with_weight(number: float) -> bytes:
    """The file with one weight."""
    return file(HEADER, struct.pack("<f", number) + DATA[4:])


def reshaped(shape: list[int], dtype: str = "F32") -> Iterator[bytes]:
    """The first tensor with another shape and all the bytes that it needs, if it has them."""
    begin, end = HEADER[FIRST]["data_offsets"]
    size = 0 if 0 in shape else (end - begin)
    moved = (end - begin) - size
    header = {}
    for name, entry in HEADER.items():
        if name == "__metadata__" or name == FIRST:
            continue
        offsets = [one - moved for one in entry["data_offsets"]]
        header[name] = entry | {"data_offsets": offsets}
    header |= {"__metadata__": HEADER["__metadata__"]}
    header[FIRST] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, begin + size]}
    yield file(header, DATA[:begin] + DATA[begin : begin + size] + DATA[end:])


def without_first() -> bytes:
    """The first tensor is missing, and its bytes with it."""
    begin, end = HEADER[FIRST]["data_offsets"]
    header = {
        name: entry
        if name == "__metadata__"
        else entry | {"data_offsets": [one - (end - begin) for one in entry["data_offsets"]]}
        for name, entry in HEADER.items()
        if name != FIRST
    }
    return file(header, DATA[end:])


def of_many_dimensions() -> bytes:
    numbers = HEADER[FIRST]["data_offsets"][1] // 4
    return next(reshaped([numbers, *[1] * 4096]))


class Trap:
    """Unpickled, it would leave a file."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("/tmp/fewstep-was-here"),)


def zipped() -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps([1]))
    return kept.getvalue()


def each(*files: bytes) -> Any:
    return lambda world: [upload(one) for one in files]


def nothing_ran(world: World, answers: Sequence[Answer]) -> None:
    assert not Path("/tmp/fewstep-was-here").exists()


def names_the_tensor(world: World, answers: Sequence[Answer]) -> None:
    for answer in answers:
        assert any(FIRST in one["pointer"] for one in answer.json["errors"]), answer.body


def is_one_version(world: World, answers: Sequence[Answer]) -> None:
    assert len({answer.json["digest"] for answer in answers}) == 1
    assert {answer.json["version"] for answer in answers} == {1}


def alias_of_none(world: World) -> Iterator[Call]:
    assert send(world.client, upload(named("aliased"))).status in (200, 201)
    body = json.dumps({"version": 999}).encode()
    where = "/checkpoints/aliased/aliases/live"
    yield Call(method="PUT", path=where, headers=[("Content-Type", "application/json")], body=body)


def aliased(world: World) -> Iterator[Call]:
    assert send(world.client, upload(named("aliased"))).status in (200, 201)
    body = json.dumps({"version": 1}).encode()
    where = "/checkpoints/aliased/aliases/live"
    json_body = [("Content-Type", "application/json")]
    sent = send(world.client, Call(method="PUT", path=where, headers=json_body, body=body))
    assert sent.status in (200, 201)
    yield Call(method="DELETE", path="/checkpoints/aliased/versions/1")


def invalid(name: str, *files: bytes, then: Any = None) -> Case:
    return refused(name, 422, "invalid-checkpoint", each(*files), then=then)


def mismatch(name: str, *files: bytes, then: Any = None) -> Case:
    return refused(name, 422, "tensor-mismatch", each(*files), then=then)


BEGIN, LAST = HEADER[FIRST]["data_offsets"]
TWICE = json.dumps({FIRST: HEADER[FIRST]}).encode()[:-1] + b"," + json.dumps(HEADER).encode()[1:]
DEEP = b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
MANY = {f"extra.{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(9_000)}


def learned_sizes() -> bytes:
    """The file with a step size of its own for each tensor and step."""
    told = json.loads(HEADER["__metadata__"]["fewstep"])
    steps = told["inner_loop"]["steps"]
    entries, sizes = {}, struct.pack("<f", 0.01) * steps
    names = [name.removeprefix("theta.") for name in HEADER if name.startswith("theta.")]
    for number, name in enumerate(sorted(names)):
        begin = len(DATA) + number * len(sizes)
        offsets = [begin, begin + len(sizes)]
        entries[f"step_size.{name}"] = {"dtype": "F32", "shape": [steps], "data_offsets": offsets}
    told |= {"name": "learned", "inner_loop": told["inner_loop"] | {"learned": True}}
    header = HEADER | entries | {"__metadata__": {"fewstep": json.dumps(told)}}
    return file(header, DATA + sizes * len(names))


def stepping_otherwise(world: World) -> Iterator[Call]:
    assert send(world.client, upload(learned_sizes())).status == 201
    order = SINE | {"checkpoint": "learned"}
    assert send(world.client, post(order)).status == 201
    yield post(order | {"step_size": 0.1}, pointer="/step_size")


CHECKPOINTS = [
    refused("B068", 422, "not-adjustable", stepping_otherwise),
    invalid("B130", b"", b"7 bytes", struct.pack("<Q", 2**20) + b"{}", b"\0" * 7 + b"\x80"),
    invalid("B131", file({}, text=b"{" + b" " * 2_000_000 + b"}")),
    invalid(
        "B132",
        file(first(data_offsets=[BEGIN + 4, LAST + 4])),
        file(HEADER, DATA + b"hole"),
        file(first(data_offsets=[LAST, BEGIN])),
    ),
    refused(
        "B133",
        422,
        "invalid-checkpoint",
        in_little_memory(
            each(
                file(first(shape=[3])),
                file(first(shape=[4294967296, 4294967296, 4])),
                file(first(dtype="Q4")),
            )
        ),
    ),
    invalid("B134", WHOLE[:-4], WHOLE + zipped()),
    invalid(
        "B135",
        file({}, text=TWICE),
        file(first(code="import os")),
        file({}, text=b" " + json.dumps(HEADER).encode()),
    ),
    invalid("B136", file({}, text=b'{"\xff": 1}'), file({}, text=DEEP)),
    invalid("B137", file(HEADER | {"__metadata__": {"fewstep": "x" * 900_000}})),
    invalid(
        "B138",
        file({name: entry for name, entry in HEADER.items() if name != "__metadata__"}),
        about(format_version=99),
        network(name="transformer-9000"),
    ),
    refused(
        "B139",
        422,
        "invalid-checkpoint",
        in_little_memory(
            each(
                network(hidden=[1_000_000_000]),
                network(hidden=[-1]),
                network(trust_remote_code=True),
                network(auto_map={"a": "b"}),
            )
        ),
    ),
    mismatch(
        "B140",
        *(
            file(with_tensors(**{name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}))
            for name in ("../../x", "__class__.__init__")
        ),
    ),
    mismatch("B141-below-the-cap", file(with_tensors(**MANY))),
    mismatch("B142", *reshaped([0, 1152921504606846976]), of_many_dimensions()),
    mismatch(
        "B143",
        without_first(),
        *reshaped([1, *HEADER[FIRST]["shape"][::-1]]),
        *reshaped(HEADER[FIRST]["shape"], "I32"),
        then=names_the_tensor,
    ),
    refused(
        "B144",
        422,
        "non-finite-weights",
        each(with_weight(float("nan")), with_weight(float("-inf"))),
    ),
    invalid("B145", file(HEADER, struct.pack("<f", 1e38) * (len(DATA) // 4))),
    invalid("B146", pickle.dumps(Trap()), zipped(), then=nothing_ran),
    refused(
        "B148",
        422,
        "validation",
        each(named("../../etc/passwd"), named("a:1@b"), named("nul\0")),
    ),
    accepted("B150", each(named("twice"), named("twice")), then=is_one_version),
    refused("B151", 404, "not-found", alias_of_none),
    refused("B152", 409, "in-use", aliased),
    refused(
        "B153",
        404,
        "not-found",
        lambda w: [get("/checkpoints/sinusoid/versions/99999999999999999999")],
    ),
]
