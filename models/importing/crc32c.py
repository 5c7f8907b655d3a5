"""The masked form of CRC-32C (Castagnoli, RFC 3720) in which LevelDB's files hold it."""

from google_crc32c import value as crc32c

MASK_DELTA = 0xA282EAD8


def masked_crc32c(data: bytes) -> int:
    """The checksum as it is stored beside its data: turned by 15 bits and moved by a constant."""
    crc: int = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + MASK_DELTA) & 0xFFFFFFFF
