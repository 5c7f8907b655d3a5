"""Text files as people's editors write them."""

from pathlib import Path


def read_written(file: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark, its lines ended by a newline each.

    Raises ValueError for another encoding.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        if fault.object.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise ValueError(_refusal(file, "UTF-16")) from fault
        line = fault.object.count(b"\n", 0, fault.start) + 1
        raise ValueError(_refusal(file, f"other bytes in line {line}")) from fault
    if "\0" in text:
        raise ValueError(_refusal(file, "UTF-16, or zeros"))
    return text


def _refusal(file: Path, got: str) -> str:
    return f"{file.name}: expected UTF-8, got {got}; save it as UTF-8"
