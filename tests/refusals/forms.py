"""Cases of multipart forms: broken ones, unknown parts, and names with brackets and slashes."""

from collections.abc import Sequence

from tests.border.pictures import drawing, encoded
from tests.refusals.bodies import CHUNKED, declared
from tests.refusals.calls import (
    Answer,
    Call,
    field,
    file,
    form,
    form_type,
    post,
    repeated,
)
from tests.refusals.case import (
    accepted,
    closes,
    has_classes,
    in_little_memory,
    refused,
    tells,
)
from tests.refusals.pictures import picture
from tests.refusals.world import World

REQUEST = field("request", b'{"checkpoint": "omniglot-5way-1shot"}')
FILES = [file(f"support[{name}]", picture(seed)) for seed, name in enumerate("abcde")]


def of_form(*parts: tuple[str, bytes]) -> Call:
    return post(form(parts), form_type())


def untyped(name: str, content: bytes, kind: str = "") -> tuple[str, bytes]:
    """A file as many clients send it: without a type, or with one that says nothing."""
    return field(name, content, f'; filename="a"{kind}')


def beside_picture(content: bytes) -> Call:
    return of_form(REQUEST, FILES[0], untyped("support[b]", content))


def writes_nothing(world: World, answers: Sequence[Answer]) -> None:
    has_classes("a", "b")(world, answers)
    assert not list(world.service.data_dir.rglob("*passwd*"))


FORMS = [
    refused(
        "B014",
        400,
        "invalid-multipart",
        lambda w: [
            post(form([REQUEST, *FILES]), ("Content-Type", "multipart/form-data")),
            post(form([REQUEST, *FILES], boundary="x" * 10_000), form_type("x" * 10_000)),
        ],
    ),
    refused(
        "B015",
        400,
        "invalid-multipart",
        lambda w: [post(form([REQUEST, *FILES])[:300], form_type())],
    ),
    refused(
        "B016",
        400,
        "invalid-multipart",
        lambda w: [of_form(REQUEST, *(field(f"f{n}", b"x") for n in range(10_000)))],
    ),
    refused(
        "B017",
        413,
        "payload-too-large",
        in_little_memory(
            lambda w: [
                declared(100_000_000, form_type()),
                Call(headers=[form_type(), CHUNKED], chunks=repeated(b" " * 65536, 1600)),
            ]
        ),
        then=closes,
    ),
    refused(
        "B018",
        422,
        "validation",
        lambda w: [of_form(*FILES), of_form(REQUEST, REQUEST, *FILES)],
    ),
    refused(
        "B019", 422, "validation", lambda w: [of_form(REQUEST, *FILES, file("other", picture()))]
    ),
    refused(
        "B020",
        422,
        "validation",
        lambda w: [
            of_form(REQUEST, *FILES[:4], file(name, picture()))
            for name in ("support[]", "support[a", "support")
        ],
    ),
    accepted(
        "B021",
        lambda w: [
            of_form(REQUEST, file("support[a[b]]", picture(0)), file("support[c]", picture(1)))
        ],
        then=has_classes("a[b]", "c"),
    ),
    accepted(
        "B022",
        lambda w: [
            of_form(
                REQUEST,
                *(file(f"support[{name}]", picture(), "../../etc/passwd") for name in "ab"),
            )
        ],
        then=writes_nothing,
    ),
    accepted(
        "beyond-types",
        lambda w: [
            of_form(
                REQUEST,
                untyped("support[a]", picture(0), kind),
                untyped("support[b]", encoded(drawing(), "WEBP"), kind),
            )
            for kind in (
                "",
                "\r\nContent-Type: text/plain",
                "\r\nContent-Type: application/octet-stream",
                "\r\nContent-Type: image/*",
            )
        ],
        then=has_classes("a", "b"),
    ),
    refused(
        "beyond-gif",
        415,
        "unsupported-media-type",
        lambda w: [beside_picture(encoded(drawing(), "GIF"))],
        then=tells("expected a PNG, JPEG or WebP picture, got a GIF"),
    ),
    refused(
        "beyond-empty",
        422,
        "invalid-image",
        lambda w: [beside_picture(b"")],
        then=tells("empty file"),
    ),
    refused(
        "beyond-photos",
        413,
        "payload-too-large",
        in_little_memory(
            lambda w: [
                of_form(REQUEST, *(untyped(f"support[{n}]", bytes(5 << 20)) for n in range(5)))
            ]
        ),
        then=tells("expected at most 16 MiB, got 25.1 MiB; pictures are shrunk"),
    ),
]
