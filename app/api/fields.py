"""The forms of fields that several requests share: names, references, metadata, durations."""

import re
import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from app.inputs.numbers import FLOAT32_END

TEN_YEARS_S: Final = 315_360_000
FLOAT32_ZERO_END: Final = 2.0**-150  # the greatest number that float32 rounds to zero
CHECKPOINT_FORM: Final = (
    r"^[a-z0-9][a-z0-9._-]{0,63}(:[1-9][0-9]{0,17}|@[a-z0-9][a-z0-9._-]{0,63})?$"
)


def _without_controls(text: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise PydanticCustomError("expected", "expected no control characters, got one")
    return text


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("expected", "expected no NUL character, got one")
    return text


def _checkpoint_form(text: str) -> str:
    if not re.fullmatch(CHECKPOINT_FORM, text) or text.endswith("\n"):
        raise PydanticCustomError(
            "expected", "expected name, name:3 or name@alias, got another form"
        )
    return text


def _url_form(text: str) -> str:
    if not re.fullmatch(URL_FORM, text) or text.endswith("\n"):
        raise PydanticCustomError(
            "expected", "expected an absolute URL of visible ASCII without a fragment, got another"
        )
    return text


def _positive_in_float32(number: float) -> float:
    if not FLOAT32_ZERO_END < number < FLOAT32_END:
        raise PydanticCustomError(
            "expected", "expected more than 0 and finite in float32, got a number outside"
        )
    return number


URL_FORM: Final = r"^[A-Za-z][A-Za-z0-9+.-]*://[!-\"$-~]*$"

CheckpointText = Annotated[
    str,
    AfterValidator(_checkpoint_form),
    Field(
        description="`name` (its default version), `name:3` or `name@alias`.",
        json_schema_extra={"pattern": CHECKPOINT_FORM},
    ),
]
Name = Annotated[str, Field(max_length=200), AfterValidator(_without_controls)]
MetadataKey = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_without_nul)]
MetadataValue = Annotated[str, Field(max_length=512), AfterValidator(_without_nul)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)]
StepSize = Annotated[float, AfterValidator(_positive_in_float32)]
Webhook = Annotated[
    str,
    Field(max_length=2000, json_schema_extra={"pattern": URL_FORM, "format": "uri"}),
    AfterValidator(_url_form),
]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[int, Field(ge=1, le=TEN_YEARS_S)]


def exactly_one(**origins: object) -> None:
    given = [name for name, value in origins.items() if value is not None]
    if len(given) != 1:
        *others, last = origins
        names = f"{', '.join(others)} and {last}"
        got = "neither" if not given else "both" if len(origins) == 2 else "several"
        raise PydanticCustomError(
            "expected", "expected exactly one of {names}, got {got}", {"names": names, "got": got}
        )


def is_none(value: object) -> bool:
    return value is None
