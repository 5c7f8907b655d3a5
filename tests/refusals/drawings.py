"""Cases of pictures: bombs, lies, cuts, and the odd ones that are pictures all the same."""

import base64
import io
import pickle
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from tests.border.pictures import chunk, data_url, drawing, encoded, png, rows, with_chunk
from tests.border.pictures import header as grey_header
from tests.refusals.calls import Answer, Call, post
from tests.refusals.case import Case, accepted, in_little_memory, refused, succeeds, tells
from tests.refusals.pictures import (
    BLACK,
    animated,
    archive,
    blank,
    claimed,
    many_chunks,
    odd_notes,
    picture,
    turned,
    url,
    wrong_checksum,
    zeros,
)
from tests.refusals.world import World, letters

EXTERNAL = b'<!DOCTYPE s [<!ENTITY e SYSTEM "file:///etc/passwd">]><svg>&e;</svg>'


def shown(*urls: str) -> list[Call]:
    """Each beside a sound picture."""
    pointer = "/support/inputs/1"
    return [post(letters(["a", "b"], [BLACK, text]), pointer=pointer) for text in urls]


def refused_picture(name: str, status: int, code: str, *urls: str) -> Case:
    return refused(name, status, code, lambda w: shown(*urls))


def too_large(name: str, *pictures: bytes) -> Case:
    return refused_picture(name, 413, "image-too-large", *map(data_url, pictures))


def drawn(**options: object) -> bytes:
    kind = str(options.pop("kind", "PNG"))
    mode = str(options.pop("mode"))
    return encoded(drawing(28, 28).convert("RGB").convert(mode), kind, **options)


def deep_grey() -> bytes:
    levels = np.linspace(0, 65535, 784).reshape(28, 28).astype(np.uint16)
    return encoded(Image.fromarray(levels))


def objects_in_npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def cut(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def is_upright(world: World, answers: Sequence[Answer]) -> None:
    """Turned by its note and turned before: the same prediction."""
    lying, upright = turned()
    inputs = [data_url(lying, "image/jpeg"), data_url(upright)]
    body = {"adaptation": world.letters, "inputs": inputs}
    found = world.client.post("/predict", json=body).json()["predictions"]
    assert found[0]["probabilities"] == pytest.approx(found[1]["probabilities"], abs=1e-5)


BYTES = base64.b64encode(picture()).decode().rstrip("=")
PNG_BYTES = "data:image/png;base64,"

DRAWINGS = [
    too_large("B116", blank(14_000, 14_000), claimed(65_535, 65_535)),
    too_large("B117", blank(10_000, 10_000), blank(9_000, 9_000)),
    too_large("B118", blank(1, 1_000_000)),
    refused_picture(
        "B119", 422, "invalid-image", *(data_url(animated(count)) for count in (2, 100_000))
    ),
    refused_picture(
        "B120",
        415,
        "unsupported-media-type",
        data_url(encoded(drawing(), "GIF"), "image/gif"),
        data_url(EXTERNAL, "image/svg+xml"),
        data_url(b"%PDF-1.7", "application/pdf"),
        data_url(encoded(drawing(), "TIFF"), "image/tiff"),
        data_url(pickle.dumps({}), "application/octet-stream"),
    ),
    refused_picture(
        "B121",
        422,
        "invalid-image",
        data_url(encoded(drawing(), "GIF")),
        data_url(encoded(drawing(), "JPEG")),
        data_url(objects_in_npy()),
    ),
    refused_picture(
        "B122",
        422,
        "invalid-image",
        data_url(cut(encoded(drawing(), "JPEG"), 0.5), "image/jpeg"),
        data_url(cut(picture(), 0.5)),
        data_url(wrong_checksum()),
        data_url(png(grey_header(0, 0), rows(0, 0), chunk(b"IEND"))),
    ),
    refused(
        "B123",
        422,
        "invalid-image",
        in_little_memory(
            lambda w: shown(
                data_url(with_chunk(picture(), chunk(b"iCCP", b"a\0\0" + zeros(1024)))),
                data_url(with_chunk(picture(), chunk(b"zTXt", b"a\0\0" + zeros(1024)))),
            )
        ),
    ),
    refused_picture(
        "B124",
        422,
        "invalid-image",
        PNG_BYTES,
        f"data:image/png,{BYTES}",
        f"{PNG_BYTES}{BYTES}!!!!",
        PNG_BYTES + BYTES[: len(BYTES) // 4 * 4 - 3],
    ),
    refused(
        "B125",
        422,
        "validation",
        lambda w: [
            post(letters(["a", "b"], [BLACK, text]), hidden=["x.png", "passwd"])
            for text in ("http://127.0.0.1:9/x.png", "file:///etc/passwd")
        ],
    ),
    accepted("B126", lambda w: shown(data_url(picture() + archive())), then=succeeds),
    accepted(
        "B127",
        lambda w: [
            post(
                letters(
                    [*"abcde"],
                    [data_url(encoded(drawing(105, 105, n).convert("1"))) for n in range(5)],
                )
            )
        ],
        then=succeeds,
    ),
    accepted(
        "B128",
        lambda w: shown(
            data_url(drawn(mode="RGBA")),
            data_url(deep_grey()),
            data_url(drawn(mode="P")),
            data_url(drawn(mode="CMYK", kind="JPEG"), "image/jpeg"),
        ),
        then=succeeds,
    ),
    accepted("B129", lambda w: shown(data_url(turned()[0], "image/jpeg")), then=is_upright),
    accepted(
        "beyond-declared",
        lambda w: shown(
            data_url(encoded(drawing(), "WEBP"), "image/webp"),
            data_url(encoded(drawing(), "JPEG"), "image/jpg"),
            data_url(picture(), "image/x-png;name=a.png"),
            data_url(picture(), "application/octet-stream"),
            PNG_BYTES + base64.encodebytes(picture()).decode(),
        ),
        then=succeeds,
    ),
    refused(
        "beyond-cut",
        422,
        "invalid-image",
        lambda w: shown(
            data_url(cut(encoded(drawing(), "JPEG"), 0.9), "image/jpeg"),
            data_url(encoded(drawing(), "JPEG")[:-2], "image/jpeg"),
            data_url(cut(encoded(drawing(), "WEBP"), 0.9), "image/webp"),
            data_url(cut(picture(), 0.9)),
        ),
        then=tells("cut off"),
    ),
    refused(
        "beyond-size",
        413,
        "image-too-large",
        lambda w: shown(data_url(blank(9000, 20))),
        then=tells("got 9000 x 20; pictures are shrunk to 28 x 28 anyway: send smaller ones"),
    ),
    accepted("beyond-notes", lambda w: shown(data_url(odd_notes(), "image/jpeg")), then=succeeds),
    refused(
        "beyond-area",
        413,
        "image-too-large",
        lambda w: [post(letters(["a", "b"] * 17, [data_url(blank(3900, 4000)), url()] * 17))],
    ),
    refused(
        "beyond-chunks",
        422,
        "invalid-image",
        lambda w: shown(data_url(many_chunks(200_000))),
    ),
]
