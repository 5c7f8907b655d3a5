"""Protocol buffers' wire format, as far as small messages of numbers and messages need it.

https://protobuf.dev/programming-guides/encoding
"""

from collections.abc import Iterator

from models.importing.faults import CannotImport

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5
VARINT_BYTES = 10  # 64 bits in groups of seven


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number of up to 64 bits that starts at this byte, and where it ends.

    Raises CannotImport where the data end before it does, or it is longer.
    """
    value = 0
    for index, byte in enumerate(data[at : at + VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return _of_64_bits(value), at + index + 1
    raise CannotImport(f"expected a whole varint at byte {at} of {len(data)}")


def read_fields(message: bytes) -> dict[int, list[int | bytes]]:
    """The values of every field, by its number, in their order.

    Raises CannotImport where the bytes are no message.
    """
    fields: dict[int, list[int | bytes]] = {}
    for number, value in _fields(message):
        fields.setdefault(number, []).append(value)
    return fields


def _of_64_bits(value: int) -> int:
    if value >= 1 << 64:
        raise CannotImport("expected a varint of at most 64 bits, got a larger one")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        tag, at = read_varint(message, at)
        value, at = _read_value(message, at, tag & 7)
        yield tag >> 3, value


def _read_value(message: bytes, at: int, wire_type: int) -> tuple[int | bytes, int]:
    if wire_type == VARINT:
        return read_varint(message, at)
    if wire_type == BYTES:
        length, at = read_varint(message, at)
        return _cut(message, at, length), at + length
    if wire_type in (EIGHT_BYTES, FOUR_BYTES):
        width = 8 if wire_type == EIGHT_BYTES else 4
        return int.from_bytes(_cut(message, at, width), "little"), at + width
    raise CannotImport(f"expected a wire type of 0, 1, 2 or 5 in a message, got {wire_type}")


def _cut(message: bytes, at: int, length: int) -> bytes:
    if length > len(message) - at:
        raise CannotImport(f"expected {length} more bytes in a message, got {len(message) - at}")
    return message[at : at + length]
