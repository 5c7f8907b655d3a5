"""Request headers as their documents say: Prefer, Idempotency-Key, Authorization, parameters."""

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.errors import ServiceError

KEY_FORM: Final = re.compile(r"fs_[!-~]{20,252}")
VISIBLE_ASCII: Final = re.compile(r"[!-~]{1,255}")
WORD: Final = r"""(?:"(?:[^"\\]|\\.)*"|[^\s",;=]+)"""
PREFERENCE: Final = re.compile(rf"([^\s\",;=]+)(?:[ \t]*=[ \t]*({WORD}))?[ \t]*(?:;[^,]*)?")
ELEMENT: Final = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')
PARAMETER: Final = re.compile(r"""[ \t]*;[ \t]*(?:([^\s"=;,]+)=("(?:[^"\\]|\\.)*"|[^\s";]*))?""")
MAX_PREFER_CHARACTERS: Final = 1000
LONGEST_WAIT_S: Final = 999_999_999


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefer:
    """What a caller prefers (RFC 7240): to wait so long at most, not to wait; None is no wish."""

    wait_s: int | None = None
    respond_async: bool = False


def parse_prefer(values: Sequence[str]) -> Prefer:
    """The preferences that this service knows, from all Prefer headers; malformed ones count not.

    Of a preference that comes twice the first counts.
    """
    wishes: dict[str, str | None] = {}
    for name, value in _preferences(",".join(values)[:MAX_PREFER_CHARACTERS]):
        wishes.setdefault(name, value)
    return Prefer(wait_s=_seconds(wishes.get("wait")), respond_async="respond-async" in wishes)


def wait_of(prefer: Prefer, *, default_s: float, limit_s: float) -> float:
    """How many seconds to wait: the wish up to the limit; 0 for respond-async without a wait."""
    if prefer.wait_s is not None:
        return min(float(prefer.wait_s), limit_s)
    return 0.0 if prefer.respond_async else min(default_s, limit_s)


def preference_applied(prefer: Prefer, *, limit_s: float) -> str | None:
    """The Preference-Applied header; the wait in it is the one that is kept to. None: no header."""
    applied = ["respond-async"] if prefer.respond_async else []
    if prefer.wait_s is not None:
        applied.append(f"wait={int(min(prefer.wait_s, limit_s))}")
    return ", ".join(applied) or None


def parse_idempotency_key(values: Sequence[str]) -> str | None:
    """The one Idempotency-Key, None without a header.

    Raises ServiceError bad-request for several, and unless it is 1 to 255 visible ASCII characters.
    """
    if len(values) > 1:
        raise ServiceError("bad-request", "expected one Idempotency-Key header, got several")
    if values and not VISIBLE_ASCII.fullmatch(values[0]):
        detail = "expected an Idempotency-Key of 1 to 255 visible ASCII characters, got another"
        raise ServiceError("bad-request", detail)
    return values[0] if values else None


def parse_bearer(values: Sequence[str]) -> str | None:
    """The key of ``Bearer fs_…``, or of HTTP Basic with it as password; None without a header.

    Raises ServiceError: bad-request for several headers, unauthenticated for what cannot be a key.
    """
    if len(values) > 1:
        raise ServiceError("bad-request", "expected one Authorization header, got several")
    if not values:
        return None
    scheme, _, credentials = values[0].partition(" ")
    reader = KEY_READERS.get(scheme.lower())
    key = reader(credentials) if reader else ""
    if not KEY_FORM.fullmatch(key):
        raise unauthenticated()
    return key


def parse_parameters(value: str) -> tuple[str, dict[str, str]]:
    """``text/plain; charset="utf-8"`` -> the head in lower case and the parameters, unquoted.

    Raises ValueError for what has another form, and for a parameter that comes twice.
    """
    head = value.partition(";")[0]
    place, parameters = len(head), dict[str, str]()
    while place < len(value.rstrip()):
        found = PARAMETER.match(value, place)
        if found is None or (found[1] or "").lower() in parameters:
            raise ValueError("malformed parameters")
        if found[1]:
            parameters[found[1].lower()] = _unquoted(found[2])
        place = found.end()
    return head.strip().lower(), parameters


def unauthenticated() -> ServiceError:
    """The one answer to a missing, malformed, unknown, revoked or expired key."""
    forms = "Authorization: Bearer fs_... or as the password of HTTP Basic"
    return ServiceError("unauthenticated", f"expected a valid key as {forms}, got none that is")


def _preferences(header: str) -> Iterator[tuple[str, str | None]]:
    """Name in lower case and bare value of each well-formed element; the others are skipped."""
    for element in ELEMENT.findall(header):
        found = PREFERENCE.fullmatch(element.strip(" \t"))
        if found:
            value = found[2]
            yield found[1].lower(), _unquoted(value) if value else None


def _unquoted(word: str) -> str:
    return re.sub(r'\\(["\\])', r"\1", word[1:-1]) if word.startswith('"') else word


def _seconds(value: str | None) -> int | None:
    if value is None or not re.fullmatch(r"[0-9]+", value):
        return None
    return int(value) if len(value) <= 9 else LONGEST_WAIT_S


def _password(credentials: str) -> str:
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True).decode("ascii")
    except ValueError:
        return ""
    return decoded.partition(":")[2]


KEY_READERS: Final[Mapping[str, Callable[[str], str]]] = {"bearer": str.strip, "basic": _password}
