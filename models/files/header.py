"""The header of a .safetensors file, read by hand and strictly: what the format's own reader lets
through beside it (keys twice, holes, bytes behind the end) is refused. Nothing is allocated from a
claimed shape, and no torch is needed.

The layout: eight bytes with the length of the JSON, the JSON, the tensors' bytes one after another
(https://github.com/huggingface/safetensors#format).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from models.files.faults import InvalidCheckpoint

LENGTH_BYTES: Final = 8
MOST_HEADER_BYTES: Final = 2**20
MOST_METADATA_BYTES: Final = 2**18
BYTES_OF: Final[Mapping[str, int]] = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """tensors: dtype, as the format calls it, and shape by name."""

    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    metadata: Mapping[str, str]


def header_bytes(start: bytes, *, most: int = MOST_HEADER_BYTES) -> int:
    """Where the tensors begin, by a file's first eight bytes. Raises InvalidCheckpoint."""
    if len(start) < LENGTH_BYTES:
        raise InvalidCheckpoint("expected a .safetensors file, got less than its first eight bytes")
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if length > most:
        raise InvalidCheckpoint(f"expected a header of at most {most} bytes, got a longer one")
    return LENGTH_BYTES + length


def read_header(data: bytes, size: int, *, most: int = MOST_HEADER_BYTES) -> Header:
    """The header of a file of so many bytes, of which data are the first, the header whole.

    Raises InvalidCheckpoint.
    """
    end = header_bytes(data, most=most)
    if end > size:
        raise InvalidCheckpoint("expected a whole header, got one that the file is too short for")
    given = _parse(data[LENGTH_BYTES:end])
    metadata = given.pop("__metadata__", {})
    _check_metadata(metadata)
    spans = sorted(_span(name, entry) for name, entry in given.items())
    _check_spans(spans, size - end)
    tensors = {name: (one["dtype"], tuple(one["shape"])) for name, one in given.items()}
    return Header(tensors=tensors, metadata=metadata)


def _parse(text: bytes) -> dict[str, Any]:
    if not text.startswith(b"{"):
        raise InvalidCheckpoint("expected a header that begins with {, got another")
    try:
        found = json.loads(text.decode("utf-8"), object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise InvalidCheckpoint("expected a header in JSON, each key once, got another") from error
    if not isinstance(found, dict):
        raise InvalidCheckpoint("expected an object as header, got another")
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice")
    return found


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise InvalidCheckpoint("expected strings as metadata, got something else")
    if sum(len(v.encode()) for v in metadata.values()) > MOST_METADATA_BYTES:
        raise InvalidCheckpoint(f"expected metadata of at most {MOST_METADATA_BYTES} bytes")


def _span(name: str, entry: Any) -> tuple[int, int]:
    """Where a tensor's bytes begin and end, which its dtype and shape must come to."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InvalidCheckpoint("expected dtype, shape and data_offsets of each tensor")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in BYTES_OF:
        raise InvalidCheckpoint(f"expected a dtype of {', '.join(BYTES_OF)}, got another")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise InvalidCheckpoint("expected whole numbers from 0 on as shape and data_offsets")
    begin, end = offsets
    if end - begin != prod(shape) * BYTES_OF[dtype]:
        raise InvalidCheckpoint("expected as many bytes as dtype and shape need, got others")
    return begin, end


def _are_counts(given: Any) -> bool:
    return isinstance(given, list) and all(type(one) is int and one >= 0 for one in given)


def _check_spans(spans: list[tuple[int, int]], size: int) -> None:
    place = 0
    for begin, end in spans:
        if begin != place:
            raise InvalidCheckpoint("expected tensors without gaps and overlaps, got others")
        place = end
    if place != size:
        raise InvalidCheckpoint("expected the file to end with its last tensor, got another end")
