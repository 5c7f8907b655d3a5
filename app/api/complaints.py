"""What pydantic found, said in our words: where, what was expected, and what kind of thing came.

Pydantic's own sentences and the values that it attaches stay inside.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from app.errors import MAX_FIELD_ERRORS, FieldError, kind_of

MAX_SEGMENT_CHARACTERS: Final = 64

EXPECTED: Final[Mapping[str, str]] = {
    "bool_parsing": "true or false",
    "bool_type": "a boolean",
    "dict_type": "an object",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a finite number",
    "greater_than": "more than {gt}, got no more",
    "greater_than_equal": "at least {ge}, got less",
    "int_from_float": "an integer",
    "int_parsing": "an integer",
    "int_parsing_size": "a smaller integer, got more digits",
    "int_type": "an integer",
    "less_than": "less than {lt}, got no less",
    "less_than_equal": "at most {le}, got more",
    "list_type": "an array",
    "literal_error": "{expected}",
    "model_attributes_type": "an object",
    "model_type": "an object",
    "string_pattern_mismatch": "a string of the form {pattern}, got another",
    "string_too_long": "at most {max_length} characters, got more",
    "string_too_short": "at least {min_length} characters, got fewer",
    "string_type": "a string",
    "too_long": "at most {max_length} entries, got more",
    "too_short": "at least {min_length} entries, got fewer",
}


def errors_from_pydantic(found: Sequence[Mapping[str, Any]], prefix: str = "") -> list[FieldError]:
    """The first 20 of ``ValidationError.errors()`` as our own, with pointers below ``prefix``."""
    return [
        FieldError(pointer=prefix + _pointer(error["loc"]), detail=_detail(error))
        for error in found[:MAX_FIELD_ERRORS]
    ]


def field_pointer(*names: str | int) -> str:
    """The JSON pointer (RFC 6901) to a place, or to what is around a name of unbearable length."""
    bearable = takewhile(lambda name: len(str(name)) <= MAX_SEGMENT_CHARACTERS, names)
    return "".join("/" + str(name).replace("~", "~0").replace("/", "~1") for name in bearable)


def _pointer(location: Sequence[str | int]) -> str:
    """The place itself, or the object around it where a key of it is at fault."""
    return field_pointer(*(location[:-2] if location[-1:] == ("[key]",) else location))


def _detail(error: Mapping[str, Any]) -> str:
    match error["type"]:
        case "expected":  # raised by a validator of ours
            return str(error["msg"])
        case "missing":
            return "expected this field, got nothing"
        case "extra_forbidden":
            return "expected no field of this name, got one"
    expected = EXPECTED.get(error["type"], "another value").format_map(error.get("ctx", {}))
    got = "" if ", got " in expected else f", got {kind_of(error['input'])}"
    return f"expected {expected}{got}"
