"""A writer of TensorFlow bundles, small and pliable enough to write wrong ones too."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[np.float32]]
MAGIC = 0xDB4775248B80FB57
HEADER = b"\x08\x01\x1a\x02\x08\x01"  # num_shards 1, version {producer 1}


def crc32c(data: bytes) -> int:
    """RFC 3720's checksum bit by bit, in the way of its long division."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 * (register & 1))
    return ~register & 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    turned = ((crc >> 15) | (crc << 17)) + 0xA282EAD8
    return (turned & 0xFFFFFFFF).to_bytes(4, "little")


def varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low]) if value < 0x80 else bytes([low | 0x80]) + varint(value >> 7)


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def entry(array: NDArray[Any], offset: int, **changes: Any) -> bytes:
    """A BundleEntryProto; ``changes`` of dtype, shape, shard, offset, size, crc or more make it
    wrong.
    """
    content = array.tobytes()
    said = {"dtype": 1, "shape": array.shape, "offset": offset, "size": len(content), **changes}
    dims = b"".join(message(2, number(1, size)) for size in said["shape"])
    return (
        number(1, said["dtype"])
        + message(2, dims)
        + number(3, said.get("shard", 0))
        + number(4, said["offset"])
        + number(5, said["size"])
        + varint(6 << 3 | 5)
        + said.get("crc", masked(content))
        + said.get("more", b"")
    )


def block(pairs: list[tuple[bytes, bytes]], *, restart_every: int = 16) -> bytes:
    """A LevelDB block whose keys leave out what they share with the one before."""
    written, restarts, last = b"", [], b""
    for index, (key, value) in enumerate(pairs):
        if index % restart_every == 0:
            restarts.append(len(written))
            last = b""
        shared = next(
            (i for i, (a, b) in enumerate(zip(last, key, strict=False)) if a != b),
            min(len(last), len(key)),
        )
        added = key[shared:]
        written += varint(shared) + varint(len(added)) + varint(len(value)) + added + value
        last = key
    ends = restarts or [0]
    return written + b"".join(i.to_bytes(4, "little") for i in [*ends, len(ends)])


def table(
    pairs: list[tuple[bytes, bytes]],
    *,
    blocks: int = 1,
    kind: int = 0,
    restart_every: int = 16,
    spoil: Callable[[bytes], bytes] = lambda content: content,
) -> bytes:
    """A table of so many data blocks; ``spoil`` changes a data block before it is sealed."""
    written, index = b"", []
    size = -(-len(pairs) // blocks)
    for start in range(0, len(pairs), size):
        part = pairs[start : start + size]
        content = spoil(block(part, restart_every=restart_every))
        index.append((part[-1][0], varint(len(written)) + varint(len(content))))
        written += sealed(content, kind)
    about, names = block([]), block(index)
    handles = varint(len(written)) + varint(len(about))
    written += sealed(about)
    handles += varint(len(written)) + varint(len(names))
    return written + sealed(names) + handles.ljust(40, b"\0") + MAGIC.to_bytes(8, "little")


def sealed(content: bytes, kind: int = 0) -> bytes:
    return content + bytes([kind]) + masked(content + bytes([kind]))


def pairs_of(tensors: Tensors, **changes: Any) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The table's pairs and the data file; ``changes`` go to the last tensor's entry."""
    data, pairs = b"", [(b"", HEADER)]
    for name in sorted(tensors):
        said = {"offset": len(data)} | (changes if name == max(tensors) else {})
        pairs.append((name.encode(), entry(tensors[name], **said)))
        data += tensors[name].tobytes()
    return pairs, data


def write(prefix: Path, tensors: Tensors) -> Path:
    """The bundle's two files; the prefix."""
    pairs, data = pairs_of(tensors)
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(pairs))
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
    return prefix
