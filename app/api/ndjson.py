"""Newline-delimited JSON: a body cut into its lines, each to be read by itself."""

from typing import Final

from app.errors import ServiceError, refusal

MEDIA_TYPE: Final = "application/x-ndjson"
MEDIA_TYPES: Final = (MEDIA_TYPE, "application/ndjson", "application/jsonl")


def split_lines(body: bytes, *, most: int) -> list[bytes]:
    """The lines without their ends, an empty one between others as well; the last may lack its end.

    Raises ServiceError: validation without any, payload-too-large for more than ``most``.
    """
    lines = body.removesuffix(b"\n").split(b"\n", most)
    if not body.strip():
        raise refusal("validation", "", "expected at least one line of JSON, got none")
    if len(lines) > most:
        raise ServiceError("payload-too-large", f"expected at most {most} lines, got more")
    return [line.removesuffix(b"\r") for line in lines]
