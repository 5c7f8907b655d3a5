"""What a class may be called, so that equal names are equal wherever they are compared."""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, Final

from app.errors import refuse_places

MAX_LABEL_CHARACTERS: Final = 64


def read_names(targets: Sequence[Any], *, pointer: str) -> list[str]:
    """The targets as class names in NFC; an integer is its decimal digits.

    Raises ServiceError validation, with up to 20 places, for what is no class name.
    """
    names = [_name(target) for target in targets]
    nameless = (index for index, name in enumerate(names) if name is None)
    rule = f"expected a string of 1 to {MAX_LABEL_CHARACTERS} characters without control characters"
    refuse_places(nameless, f"{rule}, or an integer, got something else", pointer=pointer)
    sound = [name for name in names if name is not None]
    clash = "expected each class as a string or as an integer, got one as both"
    refuse_places(_clashes(targets, sound), clash, pointer=pointer)
    return sound


def _name(target: object) -> str | None:
    """The class name that a target stands for; None where it stands for none."""
    if type(target) is int:
        name = str(target) if target.bit_length() < 4 * MAX_LABEL_CHARACTERS else ""
    elif isinstance(target, str) and len(target) <= 4 * MAX_LABEL_CHARACTERS:
        name = unicodedata.normalize("NFC", target)  # makes one character of at most four
    else:
        return None
    controls = any(unicodedata.category(character) == "Cc" for character in name)
    return None if controls or not 1 <= len(name) <= MAX_LABEL_CHARACTERS else name


def _clashes(targets: Sequence[Any], names: Sequence[str]) -> Iterator[int]:
    """Where a name comes as an integer after it came as a string, or the other way round."""
    kinds: dict[str, type] = {}
    for index, (target, name) in enumerate(zip(targets, names, strict=True)):
        if kinds.setdefault(name, type(target)) is not type(target):
            yield index
