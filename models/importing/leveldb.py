"""LevelDB's table: sorted keys and values in checked blocks, which TensorFlow's index files are.

A table ends in a footer that names an index block, whose values name the data blocks. Every block
holds keys that share a prefix with the one before, then its restart points, and is followed by its
type and its masked CRC-32C. (LevelDB, doc/table_format.md, and TensorFlow, core/lib/io/format.cc.)
"""

from collections.abc import Iterator
from dataclasses import dataclass

from models.importing.crc32c import masked_crc32c
from models.importing.faults import CannotImport
from models.importing.protobuf import read_varint

MAGIC = bytes.fromhex("57fb808b247547db")
FOOTER_BYTES, TRAILER_BYTES = 48, 5
KEY_BYTES = 256  # shared prefixes would let a small file hold long keys without end
COMPRESSIONS = {1: "Snappy", 2: "Zstandard"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """Where a block lies: from byte ``start`` to ``end``, without its trailer."""

    start: int
    end: int


def read_table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values in the ascending order of the keys.

    Reads on while it is asked, in time and memory of the order of the file. Raises CannotImport
    where the bytes are not such a table, are damaged, compressed or hold a key twice.
    """
    last: bytes | None = None
    after = 0
    for _, value in _entries(_block(data, _index_handle(data))):
        handle, _ = _read_handle(value, 0)
        if handle.start < after:
            raise CannotImport(f"expected a block from byte {after} on, got {handle.start}")
        after = handle.end + TRAILER_BYTES
        for key, content in _entries(_block(data, handle)):
            _check_order(last, key)
            last = key
            yield key, content


def _index_handle(data: bytes) -> Handle:
    if len(data) < FOOTER_BYTES:
        raise CannotImport(f"expected a footer of {FOOTER_BYTES} bytes, got {len(data)} bytes")
    footer = data[-FOOTER_BYTES:]
    if footer[-len(MAGIC) :] != MAGIC:
        got = footer[-len(MAGIC) :].hex()
        raise CannotImport(f"expected the magic number {MAGIC.hex()} at the end, got {got}")
    _, at = _read_handle(footer, 0)  # of blocks about the table, of which there are none
    return _read_handle(footer, at)[0]


def _read_handle(data: bytes, at: int) -> tuple[Handle, int]:
    start, at = read_varint(data, at)
    length, at = read_varint(data, at)
    return Handle(start=start, end=start + length), at


def _block(data: bytes, handle: Handle) -> bytes:
    """The block's bytes, checked."""
    after = handle.end + TRAILER_BYTES
    if after > len(data) - FOOTER_BYTES:
        raise CannotImport(
            f"expected a block of bytes {handle.start} to {handle.end} and its trailer, got "
            f"{len(data)} bytes with the footer"
        )
    kind = data[handle.end]
    if masked_crc32c(data[handle.start : handle.end + 1]) != _uint32(data, handle.end + 1):
        raise CannotImport(f"the checksum of the block at byte {handle.start} is wrong")
    if kind:
        name = COMPRESSIONS.get(kind, f"compression {kind}")
        raise CannotImport(f"expected uncompressed blocks, got {name}")
    return data[handle.start : handle.end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    end, at, key = _end_of_entries(block), 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        added, at = read_varint(block, at)
        length, at = read_varint(block, at)
        if shared > len(key) or shared + added > KEY_BYTES or at + added + length > end:
            raise CannotImport(
                f"expected a key of up to {KEY_BYTES} bytes and a value within the block, got "
                f"{shared} + {added} and {length} bytes"
            )
        key = key[:shared] + block[at : at + added]
        at += added + length
        yield key, block[at - length : at]


def _end_of_entries(block: bytes) -> int:
    restarts = _uint32(block, len(block) - 4) if len(block) >= 4 else 0
    end = len(block) - 4 - 4 * restarts
    if not restarts or end < 0:
        raise CannotImport(f"expected restart points in a block of {len(block)} bytes")
    return end


def _check_order(last: bytes | None, key: bytes) -> None:
    if last is not None and key == last:
        raise CannotImport(f"expected every key once, got {key!r} twice")
    if last is not None and key < last:
        raise CannotImport(f"expected ascending keys, got {key!r} after {last!r}")


def _uint32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
