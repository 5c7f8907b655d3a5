import asyncio
import io
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import aiohttp
import httpx
import pytest
import requests

from app.api.multipart import parse_adapt_form
from app.inputs.images import UploadedPicture
from tests.border.refusals import refused

REQUEST = (b'name="request"', b"", b'{"checkpoint": "omniglot-5way-1shot"}')
FIELDS = {"request": REQUEST[2].decode()}
Part = tuple[bytes, bytes, bytes]


def picture(name: str, data: bytes = b"PNG", media_type: bytes = b"image/png") -> Part:
    return f'name="{name}"; filename="../../etc/passwd"'.encode(), media_type, data


def form(*parts: Part, boundary: bytes = b"X-b") -> bytes:
    return b"".join(_written(part, boundary) for part in parts) + b"--" + boundary + b"--\r\n"


def read(body: bytes, content_type: str = "multipart/form-data; boundary=X-b") -> dict[str, Any]:
    return asyncio.run(parse_adapt_form(body, content_type, max_files=640))


def _written(part: Part, boundary: bytes) -> bytes:
    parameters, media_type, data = part
    lines = [b"--" + boundary, b"Content-Disposition: form-data; " + parameters]
    lines += [b"Content-Type: " + media_type] if media_type else []
    return b"\r\n".join([*lines, b"", data, b""])


def test_a_form_is_the_json_body_that_it_stands_for() -> None:
    data = bytes(range(256)) + b"\r\n--X-c\r\n"

    found = read(form(picture("support[a[b]]", data), REQUEST, picture("support[c]")))

    assert found == {
        "checkpoint": "omniglot-5way-1shot",
        "support": {
            "inputs": [
                UploadedPicture(data=data),
                UploadedPicture(data=b"PNG"),
            ],
            "targets": ["a[b]", "c"],
        },
    }


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("support[]]", "]"),
        ("support[%22x%22]", '"x"'),
        (r"support[\"x\"]", '"x"'),
        (r"support[a\b]", r"a\b"),
        ("support[אלף]", "אלף"),
        ("support[a;b=c]", "a;b=c"),
        ("support[" + "x" * 65 + "]", "x" * 65),
    ],
)
def test_the_class_stands_between_the_first_and_the_last_bracket(name: str, label: str) -> None:
    assert read(form(REQUEST, picture(name)))["support"]["targets"] == [label]


@pytest.mark.parametrize(
    "media_type", [b"", b"text/plain", b"application/octet-stream", b"image/gif", b"image/*", b";;"]
)
def test_what_a_file_is_declared_to_be_is_not_looked_at(media_type: bytes) -> None:
    (found,) = read(form(REQUEST, picture("support[a]", media_type=media_type)))["support"][
        "inputs"
    ]

    assert found == UploadedPicture(data=b"PNG")


@pytest.mark.parametrize("media_type", [b"", b"text/plain; charset=utf-8", b"application/json"])
@pytest.mark.parametrize("extra", [b"", b'; filename="blob"', b"; filename=r.json"])
def test_the_request_may_be_a_field_or_a_file_of_any_type(media_type: bytes, extra: bytes) -> None:
    part = (b'name="request"' + extra, media_type, b'{"checkpoint": "sinusoid"}')

    assert read(form(part))["checkpoint"] == "sinusoid"


LABEL = 'a%25"é]'  # "%25" is these three signs


def by_requests() -> tuple[bytes, str]:
    sent = requests.Request("POST", "http://x", data=FIELDS, files={f"support[{LABEL}]": b"PNG"})
    prepared = sent.prepare()
    assert isinstance(prepared.body, bytes)
    return prepared.body, str(prepared.headers["content-type"])


def by_httpx() -> tuple[bytes, str]:
    sent = httpx.Request("POST", "http://x", data=FIELDS, files={f"support[{LABEL}]": b"PNG"})
    return sent.read(), sent.headers["content-type"]


def by_aiohttp() -> tuple[bytes, str]:
    data = aiohttp.FormData(FIELDS)
    data.add_field(f"support[{LABEL}]", io.BytesIO(b"PNG"))
    written = data()
    return asyncio.run(written.as_bytes()), written.content_type


def by_old_aiohttp() -> tuple[bytes, str]:
    name = f'name="{quote(f"support[{LABEL}]", safe="")}"'.encode()
    return form(REQUEST, (name, b"", b"PNG")), "multipart/form-data; boundary=X-b"


def by_node() -> tuple[bytes, str]:
    script = """
    const form = new FormData();
    form.append("request", new Blob([process.argv[2]], {type: "application/json"}));
    form.append(`support[${process.argv[1]}]`, new Blob(["PNG"]));
    const sent = new Response(form);
    sent.text().then((body) => console.log(sent.headers.get("content-type") + "\\n" + body));
    """
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    told = subprocess.run(
        ["node", "-e", script, LABEL, FIELDS["request"]], capture_output=True, check=True
    ).stdout
    content_type, _, body = told.partition(b"\n")
    return body, content_type.decode()


@pytest.mark.parametrize("client", [by_requests, by_httpx, by_aiohttp, by_old_aiohttp, by_node])
def test_the_form_of_every_client_is_read(client: Callable[[], tuple[bytes, str]]) -> None:
    found = read(*client())

    assert found["checkpoint"] == "omniglot-5way-1shot"
    assert found["support"] == {"inputs": [UploadedPicture(data=b"PNG")], "targets": [LABEL]}


def test_a_form_with_preamble_padding_and_epilogue_is_read() -> None:
    body = b"preamble\r\n" + form(REQUEST).replace(b"X-b\r\n", b"X-b \t\r\n") + b"epilogue"

    assert read(body)["support"] == {"inputs": [], "targets": []}


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 10_000,
        'multipart/form-data; boundary="x',
        'multipart/form-data; boundary="x "',
        "multipart/form-data; boundary=\u00e9",
        "multipart/form-data; boundary=a; boundary=X-b",
    ],
    ids=lambda value: ascii(value[19:45]),
)
def test_a_boundary_has_one_to_seventy_characters(content_type: str) -> None:
    with refused("invalid-multipart"):
        read(form(REQUEST), content_type)


def test_a_boundary_of_seventy_one_characters_is_refused() -> None:
    with refused("invalid-multipart"):
        read(form(REQUEST, boundary=b"b" * 71), "multipart/form-data; boundary=" + "b" * 71)


@pytest.mark.parametrize("length", [1, 70])
def test_the_shortest_and_the_longest_boundary_are_taken(length: int) -> None:
    boundary = "b" * length

    body = form(REQUEST, boundary=boundary.encode())
    content_type = f'multipart/form-data; boundary="{boundary}"'

    assert read(body, content_type)["checkpoint"] == "omniglot-5way-1shot"


WHOLE = form(REQUEST, picture("support[a]"))


@pytest.mark.parametrize("end", range(0, len(WHOLE) - 3, 7))
def test_a_form_that_breaks_off_is_refused(end: int) -> None:
    with refused("invalid-multipart"):
        read(WHOLE[:end])


@pytest.mark.parametrize(
    "body",
    [
        b"no boundary",
        form((b"filename=x", b"", b"")),
        form((b'name="\xff"', b"", b"")),
        form((b"name*=latin-1''support%5B%E9%5D", b"", b"")),
        form((b"name*=utf-8''support%5B%FF%5D", b"", b"")),
        form((b"name*=support", b"", b"")),
        form((b'name="a"; name="b"', b"", b"")),
        form((b'name="a', b"", b"")),
        WHOLE.replace(b"form-data; ", b"attachment; "),
        WHOLE.replace(b"Content-Disposition", b"X-Other"),
        WHOLE.replace(b"\r\n", b"\n"),
        b"--X-b\r\nContent-Disposition: form-data; " + b"x" * 9000 + WHOLE,
        form(REQUEST, *((f"name=f{i}".encode(), b"", b"x") for i in range(10_000))),
    ],
    ids=lambda body: ascii(body[:60]),
)
def test_a_malformed_form_is_refused(body: bytes) -> None:
    with refused("invalid-multipart"):
        read(body)


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ([picture("support[a]")], ""),
        ([REQUEST, REQUEST, picture("support[a]")], ""),
        ([REQUEST, picture("support[a]"), picture("other")], "/other"),
        ([REQUEST, picture("support[]")], "/support[]"),
        ([REQUEST, picture("support[a")], "/support[a"),
        ([REQUEST, picture("support")], "/support"),
        ([REQUEST, picture("x" * 1000)], ""),
        ([(b'name="request"', b"", b"[]")], ""),
        ([(b'name="request"', b"", b'{"support": {}}')], "/support"),
    ],
)
def test_a_form_of_other_parts_is_refused(parts: list[Part], pointer: str) -> None:
    with refused("validation", pointer):
        read(form(*parts))


def test_a_request_part_that_is_no_json_is_refused() -> None:
    with refused("invalid-json"):
        read(form((b'name="request"', b"application/json", b"{")))


def test_more_files_than_may_be_are_too_many_examples() -> None:
    files = [picture("support[a]", bytes(200))] * 10_001

    with refused("too-many-examples", "/support/inputs"):
        read(form(REQUEST, *files))


def test_just_as_many_files_as_may_be_are_read() -> None:
    found = read(form(REQUEST, *[picture("support[a]")] * 640))

    assert found["support"]["targets"] == ["a"] * 640


def test_sixteen_mebibytes_of_almost_boundaries_take_no_longer_than_their_length() -> None:
    body = form(REQUEST, picture("support[a]", b"\r\n--X-" * (2 << 20)))

    start = time.process_time()
    json.dumps(read(body)["support"]["targets"])

    assert time.process_time() - start < 1  # one pass
