"""A form of pictures as the JSON body that it stands for.

The body is in memory already and bounded, so it is cut where the boundary says: no temporary files,
no file names, nothing kept of a part but its name and its bytes (RFC 7578). What clients declare a
file to be they guess by its name: it is told by its bytes.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from app.api.complaints import field_pointer
from app.api.headers import parse_parameters
from app.api.strict_json import parse_json
from app.errors import ServiceError, kind_of, refusal
from app.inputs.images import UploadedPicture
from app.inputs.rollouts import UploadedRollouts

BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046
PADDING: Final = re.compile(rb"[ \t]*\r\n")
PICTURE_NAME: Final = re.compile(r"support\[(.+)\]", re.DOTALL)
MAX_HEAD_BYTES: Final = 8192
MAX_FIELDS: Final = 64  # parts that are no pictures; one is right


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a form."""

    name: str
    data: bytes


async def parse_adapt_form(body: bytes, content_type: str, *, max_files: int) -> dict[str, Any]:
    """The object in the part ``request`` with the pictures ``support[<class>]`` as its support, or
    the file ``rollouts`` as its rollouts.

    support.inputs are UploadedPicture, support.targets the class names, in the order of the form.
    Raises ServiceError: invalid-multipart, invalid-json, too-many-examples or validation.
    """
    return await asyncio.to_thread(_read_form, body, content_type, max_files)


def _read_form(body: bytes, content_type: str, max_files: int) -> dict[str, Any]:
    fields, pictures = _sort(_parts(body, _boundary(content_type)), max_files)
    files = [part for part in fields if part.name == "rollouts"]
    request = _read_request([part for part in fields if part.name != "rollouts"])
    if files:
        return _with_rollouts(request, files, pictures)
    support = {
        "inputs": [UploadedPicture(data=part.data) for part in pictures],
        "targets": [_label(part.name) for part in pictures],
    }
    return {**request, "support": support}


def _with_rollouts(
    request: dict[str, Any], files: list[Part], pictures: list[Part]
) -> dict[str, Any]:
    if len(files) > 1 or pictures or "rollouts" in request:
        got = "parts support[<class>] as well" if pictures else "several"
        raise refusal("validation", "/rollouts", f"expected rollouts once, got {got}")
    return {**request, "rollouts": UploadedRollouts(data=files[0].data)}


def _sort(parts: Iterable[Part], max_files: int) -> tuple[list[Part], list[Part]]:
    """The fields and the pictures, counted while they come."""
    fields, pictures = list[Part](), list[Part]()
    for part in parts:
        (fields if _label(part.name) is None else pictures).append(part)
        if len(pictures) > max_files:
            detail = f"expected at most {max_files} pictures, got more"
            raise refusal("too-many-examples", "/support/inputs", detail)
        if len(fields) > MAX_FIELDS:
            raise _malformed(f"expected at most {MAX_FIELDS} parts beside the pictures, got more")
    return fields, pictures


def _read_request(fields: list[Part]) -> dict[str, Any]:
    for part in fields:
        if part.name != "request":
            detail = (
                "expected parts request and support[<class>], or request and rollouts, got one of "
                "another name"
            )
            raise refusal("validation", field_pointer(part.name), detail)
    if len(fields) != 1:
        detail = f"expected one part request, got {'several' if fields else 'none'}"
        raise refusal("validation", "", detail)
    request = parse_json(fields[0].data)
    if not isinstance(request, dict):
        raise refusal("validation", "", f"expected an object, got {kind_of(request)}")
    if "support" in request:
        detail = "expected the support as parts support[<class>], got it in the part request"
        raise refusal("validation", "/support", detail)
    return request


def _label(name: str) -> str | None:
    """What stands between the first [ and the last ]; None for a part that is no picture."""
    found = PICTURE_NAME.fullmatch(name)
    return found[1] if found else None


def _boundary(content_type: str) -> bytes:
    try:
        boundary = parse_parameters(content_type)[1].get("boundary", "")
    except ValueError:
        boundary = ""
    if not BOUNDARY.fullmatch(boundary):
        raise _malformed("expected a boundary of 1 to 70 characters, got none or another form")
    return b"--" + boundary.encode("ascii")


def _parts(body: bytes, delimiter: bytes) -> Iterator[Part]:
    """Each part as soon as its end is found; invalid-multipart where the body breaks off."""
    place = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    if place == 1:
        raise _malformed("expected the boundary, got none")
    place += len(delimiter)
    while body[place : place + 2] != b"--":
        start = PADDING.match(body, place)
        head_end = body.find(b"\r\n\r\n", place, place + MAX_HEAD_BYTES)
        end = body.find(b"\r\n" + delimiter, head_end + 4)
        if start is None or head_end < start.end() or end < 0:
            raise _malformed("expected whole parts up to the last boundary, got a broken one")
        yield _part(body[start.end() : head_end], body[head_end + 4 : end])
        place = end + 2 + len(delimiter)


def _part(head: bytes, data: bytes) -> Part:
    try:
        lines = [line.partition(":") for line in head.decode("utf-8").split("\r\n")]
        headers = {name.strip().lower(): value.strip() for name, _, value in lines}
        disposition, parameters = parse_parameters(headers["content-disposition"])
        name = _name(parameters)
    except (ValueError, KeyError):
        raise _malformed("expected a name in the head of each part, got none") from None
    if disposition != "form-data":
        raise _malformed("expected Content-Disposition form-data, got another")
    return Part(name=name, data=data)


def _name(parameters: Mapping[str, str]) -> str:
    """The part's name as each client writes it: with three signs escaped (browsers, curl), with all
    of them (some aiohttp), or as name* of RFC 8187, where it is no ASCII (aiohttp, old requests).
    """
    if "name" not in parameters:
        charset, _, quoted = parameters["name*"].split("'", 2)
        if charset.lower() != "utf-8":
            raise ValueError("another charset")
        return unquote(quoted, errors="strict")
    name = parameters["name"]
    if name.lower().startswith("support%5b"):
        return unquote(name, errors="strict")
    return name.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


def _malformed(detail: str) -> ServiceError:
    return ServiceError("invalid-multipart", detail)
