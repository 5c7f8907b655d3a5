"""Every refusal that this service can give, as one exception that knows its status and title.

It must not know HTTP: the API turns it into problem details, the worker into a row's error, the
command line into one line of text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Final

MAX_FIELD_ERRORS: Final = 20

PROBLEMS: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "bad-request": (400, "The request is malformed"),
        "invalid-json": (400, "The body is not valid JSON"),
        "invalid-multipart": (400, "The body is not valid multipart/form-data"),
        "invalid-cursor": (400, "The cursor does not belong to this list"),
        "unauthenticated": (401, "A valid key is needed"),
        "forbidden": (403, "The key does not allow this"),
        "not-found": (404, "There is nothing here"),
        "method-not-allowed": (405, "This route does not have this method"),
        "not-ready": (409, "The adaptation has not ended yet"),
        "adaptation-failed": (409, "The adaptation has no result"),
        "conflict": (409, "The present state does not allow this"),
        "in-use": (409, "Something still refers to this"),
        "expired": (410, "The adaptation has expired"),
        "payload-too-large": (413, "The body is too large"),
        "image-too-large": (413, "A picture is too large"),
        "too-many-examples": (413, "There are too many examples"),
        "unsupported-media-type": (415, "This media type is not accepted"),
        "validation": (422, "The request is readable but wrong"),
        "empty-support": (422, "The support set is empty"),
        "too-few-classes": (422, "There are too few classes"),
        "too-many-classes": (422, "There are too many classes"),
        "length-mismatch": (422, "Lists that belong together differ in length"),
        "ragged-array": (422, "An array is ragged"),
        "shape-mismatch": (422, "An array has the wrong shape"),
        "invalid-image": (422, "A picture cannot be read"),
        "invalid-checkpoint": (422, "The checkpoint cannot be used"),
        "tensor-mismatch": (422, "The tensors do not fit the architecture"),
        "non-finite-weights": (422, "A weight is not finite"),
        "budget-exceeded": (422, "The request asks for too much work"),
        "needs-adaptation": (422, "The checkpoint predicts only after an adaptation"),
        "not-adjustable": (422, "The checkpoint fixes this itself"),
        "off-policy": (422, "The actions are not of the policy that they are to improve"),
        "idempotency-mismatch": (422, "The Idempotency-Key belongs to another request"),
        "forbidden-url": (422, "This URL must not be called"),
        "rate-limited": (429, "There are too many requests"),
        "queue-full": (429, "The queue is full"),
        "internal": (500, "The service made a mistake"),
        "unavailable": (503, "The service cannot answer now"),
        "damaged": (503, "Stored bytes failed their check"),
        "store-full": (507, "The store is full"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One wrong place in the input: a JSON pointer, and what was expected and got there."""

    pointer: str
    detail: str


KINDS: Final[Mapping[type, str]] = MappingProxyType(
    {
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
        type(None): "null",
    }
)


def kind_of(value: object) -> str:
    """What kind of JSON value this is, in words: how a refusal speaks of it without showing it."""
    return KINDS.get(type(value), "a file")


class ServiceError(Exception):
    """A refusal with its code; ``status`` and ``title`` follow from it.

    detail and errors say what was expected and what kind of thing came, never the value itself.
    At most 20 errors are kept. Raises KeyError for a code that PROBLEMS does not have.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after_s: int | None = None,
        allow: str | None = None,
    ) -> None:
        super().__init__(code, detail)
        self.status, self.title = PROBLEMS[code]
        self.code = code
        self.detail = detail
        self.errors = tuple(errors[:MAX_FIELD_ERRORS])
        self.retry_after_s = retry_after_s
        self.allow = allow

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


def refusal(code: str, pointer: str, detail: str) -> ServiceError:
    """The refusal of one place in the input."""
    return ServiceError(code, detail, errors=[FieldError(pointer=pointer, detail=detail)])


def other_content() -> ServiceError:
    """The refusal of an Idempotency-Key that stands for another request."""
    detail = "this Idempotency-Key was used with other content; use a new key"
    return ServiceError("idempotency-mismatch", detail)


def refuse_places(places: Iterable[int | str], detail: str, *, pointer: str) -> None:
    """Raises validation for the first 20 places below ``pointer``; without any does nothing."""
    first = [
        f"{pointer}/{place}" if place != "" else pointer
        for place in islice(places, MAX_FIELD_ERRORS)
    ]
    if first:
        errors = [FieldError(pointer=place, detail=detail) for place in first]
        raise ServiceError("validation", detail, errors=errors)
