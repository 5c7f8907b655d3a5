"""TensorFlow's checkpoint bundle (V2): PREFIX.index and PREFIX.data-00000-of-00001, without
TensorFlow.

The index is a table of tensors' names to messages that say where each one lies in the data file
(tensorflow/core/protobuf/tensor_bundle.proto). One shard of float32 tensors is read; everything
else is refused. Both files are bounded in size, and with them what a hostile bundle can cost.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.importing.crc32c import masked_crc32c
from models.importing.faults import CannotImport
from models.importing.leveldb import read_table
from models.importing.protobuf import read_fields

INDEX_BYTES, DATA_BYTES = 1 << 20, 1 << 26  # far beyond any few-shot network
AXES = 8
FLOAT32 = 1  # tensorflow/core/framework/types.proto
DTYPES = {1: "float32", 2: "float64", 3: "int32", 7: "string", 9: "int64", 14: "bfloat16"}
# BundleHeaderProto
NUM_SHARDS, ENDIANNESS, VERSION, MIN_CONSUMER = 1, 2, 3, 2
# BundleEntryProto, TensorShapeProto and its Dim
DTYPE, SHAPE, SHARD_ID, OFFSET, SIZE, CRC32C, SLICES = 1, 2, 3, 4, 5, 6, 7
DIM, DIM_SIZE = 2, 1

Tensors = dict[str, NDArray[np.float32]]
Fields = Mapping[int, list[int | bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """tensors: by TensorFlow's names; digests: SHA-256 of both files, hex, by file name."""

    tensors: Tensors
    digests: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A tensor's place in the data file, in bytes, and its masked CRC-32C."""

    name: str
    shape: tuple[int, ...]
    start: int
    size: int
    crc: int


def load_bundle(prefix: Path) -> Bundle:
    """The bundle of this prefix, every checksum verified.

    Raises CannotImport where a file is missing, too large, damaged or not of this kind.
    """
    index_path = prefix.with_name(f"{prefix.name}.index")
    index = _read(index_path, INDEX_BYTES)
    _check_header(next(read_table(index), (b"", b"")))
    data_path = prefix.with_name(f"{prefix.name}.data-00000-of-00001")
    data = _read(data_path, DATA_BYTES)
    files = {index_path.name: index, data_path.name: data}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return Bundle(tensors=read_bundle(index, data), digests=digests)


def read_bundle(index: bytes, data: bytes) -> Tensors:
    """The tensors in the bytes of a bundle's two files; row-major float32.

    Raises CannotImport where they are not a bundle of one shard of float32 tensors, or damaged.
    """
    entries = list(_entries(index, len(data)))
    return {entry.name: _tensor(entry, data) for entry in entries}


def _read(path: Path, limit: int) -> bytes:
    if not path.is_file():
        raise CannotImport(f"expected the file {path.name} beside the other one, it is missing")
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise CannotImport(f"{path.name}: expected at most {limit} bytes, got more")
    return content


def _entries(index: bytes, data_bytes: int) -> Iterator[Entry]:
    pairs = read_table(index)
    _check_header(next(pairs, (b"", b"")))
    total = 0
    for key, value in pairs:
        entry = _entry(_name(key), read_fields(value))
        total += entry.size
        if max(entry.start + entry.size, total) > data_bytes:
            raise CannotImport(
                f"{entry.name}: expected {entry.size} bytes from byte {entry.start} on within "
                f"what the data file has for all tensors, got a file of {data_bytes} bytes"
            )
        yield entry


def _check_header(pair: tuple[bytes, bytes]) -> None:
    key, value = pair
    if key or not value:
        raise CannotImport(f"expected the bundle's header under the empty key, got key {key!r}")
    header = read_fields(value)
    shards = _number(header, NUM_SHARDS)
    if shards != 1:
        raise CannotImport(f"expected a bundle of 1 shard, got {shards}")
    if _number(header, ENDIANNESS):
        raise CannotImport("expected a little-endian bundle, got a big-endian one")
    consumer = _number(read_fields(_bytes(header, VERSION)), MIN_CONSUMER)
    if consumer > 1:
        raise CannotImport(f"expected a bundle for readers of version 1, got version {consumer}")


def _entry(name: str, fields: Fields) -> Entry:
    dtype = _number(fields, DTYPE)
    if dtype != FLOAT32:
        raise CannotImport(f"{name}: expected float32, got {DTYPES.get(dtype, f'type {dtype}')}")
    if _number(fields, SHARD_ID) or SLICES in fields:
        raise CannotImport(f"{name}: expected a whole tensor in shard 0, got a part of one")
    shape, size = _shape(name, _bytes(fields, SHAPE)), _number(fields, SIZE)
    if math.prod(shape) * 4 != size:
        raise CannotImport(f"{name}: expected {math.prod(shape) * 4} bytes of {shape}, got {size}")
    return Entry(
        name=name,
        shape=shape,
        start=_number(fields, OFFSET),
        size=size,
        crc=_number(fields, CRC32C),
    )


def _shape(name: str, message: bytes) -> tuple[int, ...]:
    dims = read_fields(message).get(DIM, [])
    if len(dims) > AXES:
        raise CannotImport(f"{name}: expected at most {AXES} axes, got {len(dims)}")
    sizes = (_number(read_fields(_message(name, dim)), DIM_SIZE) for dim in dims)
    shape = tuple(sizes)
    if not all(1 <= size <= DATA_BYTES for size in shape):
        raise CannotImport(f"{name}: expected axes of 1 to {DATA_BYTES}, got {shape}")
    return shape


def _tensor(entry: Entry, data: bytes) -> NDArray[np.float32]:
    part = data[entry.start : entry.start + entry.size]
    if masked_crc32c(part) != entry.crc:
        raise CannotImport(f"the checksum of tensor {entry.name} is wrong")
    return np.frombuffer(part, dtype="<f4").astype(np.float32).reshape(entry.shape)


def _name(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise CannotImport(f"expected a tensor's name in UTF-8, got {key!r}") from error


def _number(fields: Fields, number: int) -> int:
    """The last value of a field, as protocol buffers have it; an absent one is 0."""
    value = fields.get(number, [0])[-1]
    if not isinstance(value, int):
        raise CannotImport(f"expected a number in field {number}, got {len(value)} bytes")
    return value


def _bytes(fields: Fields, number: int) -> bytes:
    return _message(f"field {number}", fields.get(number, [b""])[-1])


def _message(where: str, value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise CannotImport(f"{where}: expected a message, got the number {value}")
    return value
